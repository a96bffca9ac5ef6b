// Writes captures: the classic pcap format, magic 0xa1b23c4d (nanoseconds), link type 1
// (Ethernet). Called by relay.c for each frame as it comes from a guest, before chaos.
// Spec: draft-ietf-opsawg-pcap, sections 4 and 5.
#include "pcap.h"
#include <errno.h>
#include <string.h>

#define PCAP_BUFFER_BYTES (1u << 20)
#define PCAP_SNAPLEN 262144u

static char pcap_buffer[PCAP_BUFFER_BYTES];

/** Makes the capture file `path` anew, with its header. One file at a time. */
FILE *pcap_open(const char *path) {
    const uint32_t header[6] = {0xa1b23c4du, 4u << 16 | 2u, 0, 0, PCAP_SNAPLEN, 1};
    FILE *file = fopen(path, "wbe");
    if (!file) {
        fprintf(stderr, "relay: cannot write %s: %s\n", path, strerror(errno));
        return NULL;
    }
    setvbuf(file, pcap_buffer, _IOFBF, sizeof(pcap_buffer));
    fwrite(header, sizeof(header), 1, file);
    return file;
}

/** Appends a frame with its time (nanoseconds since 1970). */
bool pcap_write(FILE *file, uint64_t time_ns, const uint8_t *data, uint32_t length) {
    const uint32_t record[4] = {(uint32_t)(time_ns / 1000000000u),
                                (uint32_t)(time_ns % 1000000000u), length, length};
    return fwrite(record, sizeof(record), 1, file) == 1 && fwrite(data, length, 1, file) == 1;
}
