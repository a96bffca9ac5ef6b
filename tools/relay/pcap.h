// Capture file of the relay, in the pcap format with nanosecond time stamps.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// Opens the file and writes its header; NULL and a message on stderr on failure.
FILE *pcap_open(const char *path);
// Appends one frame; false if the disk did not take it.
bool pcap_write(FILE *file, uint64_t time_ns, const uint8_t *data, uint32_t length);
