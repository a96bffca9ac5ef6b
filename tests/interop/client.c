// A verbs client of our own for the scratch service, on libibverbs and librdmacm.
// The expected bytes come from a generator and a shadow copy in this program alone.
//
//   client ADDRESS ops [--ops N] [--seed S] [--depth D]     seeded READ, WRITE, CAS, FAA
//   client ADDRESS negative                                 refused accesses, others well
//   client ADDRESS connections N                            opened and closed in a row
//   more: --max-bytes B (longest operation, default 1 MiB), --port P,
//         --ack-timeout T (4.096 us * 2^T), --retries 0..7
//
// Exit status 0: all as expected; 1: not, and stderr says what. Single thread, no locks.
#include "scratch.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 8u
#define RESOLVE_MS 20000
#define COMPLETION_WAIT_MS 120000 // a hang detector, not a speed limit
#define SLOT_BYTES (SCRATCH_BYTES + 64u)

struct settings {
    const char *address, *mode;
    unsigned long count;
    uint64_t seed;
    uint32_t depth, bytes_max;
    uint16_t port;
    uint8_t ack_timeout, retry_count;
};

struct connection {
    struct rdma_cm_id *id;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_mr *mr;
    uint8_t *memory; // depth slots of SLOT_BYTES
    uint32_t depth;
    struct scratch_key key;
};

static struct settings settings = {.port = SCRATCH_PORT, .seed = 1, .depth = 1, .ack_timeout = 15,
                                   .bytes_max = SCRATCH_BYTES,
                                   .retry_count = 7};

static void connection_make_qp(struct connection *c) {
    c->pd = ibv_alloc_pd(c->id->verbs);
    c->channel = ibv_create_comp_channel(c->id->verbs);
    c->cq = c->channel ? ibv_create_cq(c->id->verbs, 64, NULL, c->channel, 0) : NULL;
    c->memory = aligned_alloc(4096, c->depth * SLOT_BYTES);
    if (!c->pd || !c->cq || !c->memory)
        die("protection domain, completion queue or memory");
    c->mr = ibv_reg_mr(c->pd, c->memory, c->depth * SLOT_BYTES, IBV_ACCESS_LOCAL_WRITE);
    if (!c->mr || ibv_req_notify_cq(c->cq, 0))
        die("memory region");
    struct ibv_qp_init_attr attributes = {
        .send_cq = c->cq, .recv_cq = c->cq, .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
        .cap = {.max_send_wr = 16, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1}};
    if (rdma_create_qp(c->id, c->pd, &attributes))
        die("rdma_create_qp");
}

// Opens a connection to the service and reads its private data. Calls on an id without
// a channel are synchronous.
static void connection_open(struct connection *c, uint32_t depth) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(settings.port)};
    memset(c, 0, sizeof(*c));
    c->depth = depth;
    if (inet_pton(AF_INET, settings.address, &address.sin_addr) != 1)
        die("the address is not an IPv4 address");
    if (rdma_create_id(NULL, &c->id, NULL, RDMA_PS_TCP))
        die("rdma_create_id");
    if (rdma_resolve_addr(c->id, NULL, (struct sockaddr *)&address, RESOLVE_MS))
        die("rdma_resolve_addr");
    if (rdma_set_option(c->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &settings.ack_timeout,
                        sizeof(settings.ack_timeout)))
        die("RDMA_OPTION_ID_ACK_TIMEOUT");
    if (rdma_resolve_route(c->id, RESOLVE_MS))
        die("rdma_resolve_route");
    connection_make_qp(c);
    struct rdma_conn_param asked = {.responder_resources = 16, .initiator_depth = 16,
                                    .retry_count = settings.retry_count, .rnr_retry_count = 7};
    if (rdma_connect(c->id, &asked))
        die("rdma_connect");
    const struct rdma_conn_param *answer = &c->id->event->param.conn;
    if (answer->private_data_len < SCRATCH_PRIVATE_BYTES || !answer->private_data)
        die("the answer has no private data");
    c->key = scratch_unpack(answer->private_data);
    if (c->key.length != SCRATCH_BYTES)
        die("the scratch region is not 1 MiB");
}

// Closes a connection; an error of rdma_disconnect counts only if it was healthy.
static void connection_close(struct connection *c, bool healthy) {
    if (rdma_disconnect(c->id) && healthy)
        die("rdma_disconnect");
    rdma_destroy_qp(c->id);
    if (ibv_destroy_cq(c->cq) || ibv_destroy_comp_channel(c->channel) || ibv_dereg_mr(c->mr) ||
        ibv_dealloc_pd(c->pd))
        die("closing");
    free(c->memory);
    if (rdma_destroy_id(c->id))
        die("rdma_destroy_id");
}

static struct ibv_wc completion_wait(struct connection *c) {
    struct ibv_wc wc;
    for (;;) {
        int count = ibv_poll_cq(c->cq, 1, &wc);
        if (count < 0)
            die("ibv_poll_cq");
        if (count == 1)
            return wc;
        struct pollfd end = {.fd = c->channel->fd, .events = POLLIN};
        if (poll(&end, 1, COMPLETION_WAIT_MS) != 1)
            die("no completion came: the operation hangs");
        struct ibv_cq *cq;
        void *context;
        if (ibv_get_cq_event(c->channel, &cq, &context) || ibv_req_notify_cq(c->cq, 0))
            die("ibv_get_cq_event");
        ibv_ack_cq_events(cq, 1);
    }
}

struct operation {
    enum ibv_wr_opcode opcode;
    uint64_t offset, swap_or_add, compare;
    uint32_t length, slot, slot_offset;
    uint32_t rkey; // what is sent: the region's, or a wrong one
    uint8_t *expected;
};

static uint8_t *operation_bytes(const struct connection *c, const struct operation *op) {
    return c->memory + (size_t)op->slot * SLOT_BYTES + op->slot_offset;
}

// No fences: Linux 6.1's rxe never repeats a fenced READ or atomic whose answer was lost
// (the repeated one waits for itself), so mode_ops waits where a fence would be needed.
static void operation_post(struct connection *c, const struct operation *op) {
    struct ibv_sge sge = {(uintptr_t)operation_bytes(c, op), op->length, c->mr->lkey};
    struct ibv_send_wr wr = {.wr_id = op->slot, .sg_list = &sge, .num_sge = 1,
                             .opcode = op->opcode}, *bad;
    uint64_t address = c->key.address + op->offset;
    if (op->opcode == IBV_WR_RDMA_READ || op->opcode == IBV_WR_RDMA_WRITE) {
        wr.wr.rdma.remote_addr = address;
        wr.wr.rdma.rkey = op->rkey;
        wr.num_sge = op->length != 0;
    } else {
        wr.wr.atomic.remote_addr = address;
        wr.wr.atomic.rkey = op->rkey;
        wr.wr.atomic.compare_add =
            op->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ? op->compare : op->swap_or_add;
        wr.wr.atomic.swap = op->swap_or_add;
    }
    errno = ibv_post_send(c->id->qp, &wr, &bad);
    if (errno)
        die("ibv_post_send");
}

// One operation from post to completion; returns its status.
static enum ibv_wc_status operation_run(struct connection *c, const struct operation *op) {
    operation_post(c, op);
    return completion_wait(c).status;
}

static const char *opcode_name(enum ibv_wr_opcode opcode) {
    return opcode == IBV_WR_RDMA_READ            ? "READ"
           : opcode == IBV_WR_RDMA_WRITE         ? "WRITE"
           : opcode == IBV_WR_ATOMIC_CMP_AND_SWP ? "CAS"
                                                 : "FAA";
}

static void fill(uint8_t *bytes, uint32_t length, uint64_t *random) {
    for (uint32_t i = 0; i < length; i += 8) {
        uint64_t word = random_next(random);
        memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
    }
}

// Lengths that matter: none, a few bytes, around every path MTU and page, rarely up to
// the whole region.
static uint32_t length_draw(uint64_t *random) {
    static const uint32_t edges[] = {256, 512, 1024, 2048, 4096, 8192, 16384};
    uint64_t word = random_next(random);
    uint32_t kind = (uint32_t)(word & 63), rest = (uint32_t)(word >> 32);
    if (kind < 4)
        return 0;
    if (kind < 20)
        return 1 + rest % 64;
    if (kind < 36)
        return edges[rest % 7] - 2 + (rest >> 8) % 5;
    if (kind < 62)
        return 1 + rest % 20000;
    return kind == 62 ? 1 + rest % SCRATCH_BYTES : SCRATCH_BYTES - rest % 3;
}

// Draws the next operation, posts nothing. Changes the shadow as the peer will.
static void operation_draw(struct connection *c, struct operation *op, uint8_t *shadow,
                           uint64_t *random) {
    uint64_t word = random_next(random), place = random_next(random), old;
    op->rkey = c->key.rkey;
    op->slot_offset = (uint32_t)(word >> 8) & 31;
    op->opcode = (enum ibv_wr_opcode[]){IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
        IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD}[word & 3];
    if (op->opcode == IBV_WR_RDMA_READ || op->opcode == IBV_WR_RDMA_WRITE) {
        op->length = length_draw(random);
        if (op->length > settings.bytes_max)
            op->length -= op->length / settings.bytes_max * settings.bytes_max;
        op->offset = place % (SCRATCH_BYTES - op->length + 1);
        uint8_t *bytes = operation_bytes(c, op);
        if (op->opcode == IBV_WR_RDMA_READ) {
            memset(bytes, 0xdd, op->length);
            memcpy(op->expected, shadow + op->offset, op->length);
        } else {
            fill(bytes, op->length, random);
            memcpy(shadow + op->offset, bytes, op->length);
        }
        return;
    }
    op->length = 8;
    op->slot_offset &= ~7u;
    op->offset = place % (SCRATCH_BYTES / 8) * 8;
    op->swap_or_add = random_next(random);
    memset(operation_bytes(c, op), 0xdd, 8);
    memcpy(op->expected, shadow + op->offset, 8);
    memcpy(&old, op->expected, 8);
    op->compare = word & 16 ? old : old + 1 + (word >> 40);
    uint64_t new = op->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? old + op->swap_or_add
                   : op->compare == old                      ? op->swap_or_add
                                                             : old;
    memcpy(shadow + op->offset, &new, 8);
}

// Takes one completion and compares what came with what had to come.
static void operation_finish(struct connection *c, struct operation *ops, unsigned long number) {
    struct ibv_wc wc = completion_wait(c);
    struct operation *op = &ops[wc.wr_id];
    if (wc.status != IBV_WC_SUCCESS) {
        fprintf(stderr, "operation %lu: %s of %u bytes at %" PRIu64 ": %s (vendor %u)\n", number,
                opcode_name(op->opcode), op->length, op->offset, ibv_wc_status_str(wc.status),
                wc.vendor_err);
        exit(1);
    }
    const uint8_t *bytes = operation_bytes(c, op);
    if (op->opcode == IBV_WR_RDMA_WRITE)
        return;
    for (uint32_t i = 0; i < op->length; i++) {
        if (bytes[i] == op->expected[i])
            continue;
        fprintf(stderr, "operation %lu: %s of %u bytes at %" PRIu64 ": byte %u is %02x, not %02x\n",
                number, opcode_name(op->opcode), op->length, op->offset, i, bytes[i],
                op->expected[i]);
        exit(1);
    }
}

// Writes the shadow to the region, or compares the region with it, all of it.
static void whole_region(struct connection *c, enum ibv_wr_opcode opcode, uint8_t *shadow) {
    for (uint32_t done = 0; done < SCRATCH_BYTES; done += settings.bytes_max) {
        uint32_t left = SCRATCH_BYTES - done;
        struct operation op = {.opcode = opcode, .offset = done, .rkey = c->key.rkey,
                               .length = left < settings.bytes_max ? left : settings.bytes_max,
                               .expected = shadow + done};
        if (opcode == IBV_WR_RDMA_WRITE)
            memcpy(operation_bytes(c, &op), op.expected, op.length);
        operation_post(c, &op);
        operation_finish(c, &op, 0);
    }
}

static int mode_ops(void) {
    uint8_t *shadow = malloc(SCRATCH_BYTES), *expected = malloc(DEPTH_MAX * SCRATCH_BYTES);
    struct operation ops[DEPTH_MAX];
    struct connection c;
    uint64_t random = settings.seed, bytes = 0;
    uint32_t flying = 0;
    bool reading = false; // a READ or atomic may be in flight
    unsigned long kinds[IBV_WR_ATOMIC_FETCH_AND_ADD + 1] = {0};
    if (!shadow || !expected)
        die("memory");
    connection_open(&c, settings.depth);
    fill(shadow, SCRATCH_BYTES, &random);
    whole_region(&c, IBV_WR_RDMA_WRITE, shadow);
    for (unsigned long i = 0; i < settings.count; i++) {
        struct operation *op = &ops[i % settings.depth];
        if (flying == settings.depth)
            operation_finish(&c, ops, i - flying--);
        *op = (struct operation){.slot = (uint32_t)(i % settings.depth)};
        op->expected = expected + (size_t)op->slot * SCRATCH_BYTES;
        operation_draw(&c, op, shadow, &random);
        while (flying && reading && op->opcode != IBV_WR_RDMA_READ)
            operation_finish(&c, ops, i - flying--); // a fence: READs sample memory first
        reading = flying ? reading : false;
        reading |= op->opcode != IBV_WR_RDMA_WRITE;
        operation_post(&c, op);
        flying++;
        kinds[op->opcode]++;
        bytes += op->length;
        if ((i + 1) % 500 == 0)
            fprintf(stderr, "%lu operations\n", i + 1);
    }
    while (flying)
        operation_finish(&c, ops, settings.count - flying--);
    whole_region(&c, IBV_WR_RDMA_READ, shadow);
    connection_close(&c, true);
    printf("client: %lu operations as expected: %lu READ, %lu WRITE, %lu CAS, %lu FAA, "
           "%" PRIu64 " bytes, seed %" PRIu64 "\n", settings.count, kinds[IBV_WR_RDMA_READ],
           kinds[IBV_WR_RDMA_WRITE], kinds[IBV_WR_ATOMIC_CMP_AND_SWP],
           kinds[IBV_WR_ATOMIC_FETCH_AND_ADD], bytes, settings.seed);
    return 0;
}

// A few bytes written and read back: is this connection well?
static void connection_check(struct connection *c, uint64_t *random) {
    uint8_t sent[61];
    struct operation op = {.opcode = IBV_WR_RDMA_WRITE, .offset = random_next(random) % 1000000,
                           .length = sizeof(sent), .rkey = c->key.rkey};
    fill(sent, sizeof(sent), random);
    memcpy(operation_bytes(c, &op), sent, sizeof(sent));
    enum ibv_wc_status status = operation_run(c, &op);
    if (status == IBV_WC_SUCCESS) {
        op.opcode = IBV_WR_RDMA_READ;
        memset(operation_bytes(c, &op), 0, sizeof(sent));
        status = operation_run(c, &op);
    }
    if (status != IBV_WC_SUCCESS) {
        fprintf(stderr, "a connection that should be well is not: %s\n",
                ibv_wc_status_str(status));
        exit(1);
    }
    if (memcmp(operation_bytes(c, &op), sent, sizeof(sent))) {
        fprintf(stderr, "wrong bytes on a connection that should be well\n");
        exit(1);
    }
}

struct refusal {
    const char *name;
    enum ibv_wr_opcode opcode;
    uint64_t offset;
    uint32_t length;
    enum { KEY_RIGHT, KEY_WRONG, KEY_OF_OTHER } key;
    enum ibv_wc_status status;
};

static const struct refusal refusals[] = {
    {"READ past the end", IBV_WR_RDMA_READ, SCRATCH_BYTES - 7, 8, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"READ of many packets past the end", IBV_WR_RDMA_READ, 1, SCRATCH_BYTES, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"WRITE past the end", IBV_WR_RDMA_WRITE, SCRATCH_BYTES - 63, 64, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"WRITE of many packets past the end", IBV_WR_RDMA_WRITE, 4096, SCRATCH_BYTES, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"WRITE before the start", IBV_WR_RDMA_WRITE, (uint64_t)-1, 8, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"READ far away", IBV_WR_RDMA_READ, 1ull << 40, 8, KEY_RIGHT, IBV_WC_REM_ACCESS_ERR},
    {"CAS past the end", IBV_WR_ATOMIC_CMP_AND_SWP, SCRATCH_BYTES, 8, KEY_RIGHT,
     IBV_WC_REM_ACCESS_ERR},
    {"READ with a wrong key", IBV_WR_RDMA_READ, 0, 8, KEY_WRONG, IBV_WC_REM_ACCESS_ERR},
    {"WRITE with a wrong key", IBV_WR_RDMA_WRITE, 0, 8, KEY_WRONG, IBV_WC_REM_ACCESS_ERR},
    {"FAA with a wrong key", IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, KEY_WRONG, IBV_WC_REM_ACCESS_ERR},
    {"READ with another connection's key", IBV_WR_RDMA_READ, 0, 8, KEY_OF_OTHER,
     IBV_WC_REM_ACCESS_ERR},
    {"WRITE with another connection's key", IBV_WR_RDMA_WRITE, 0, 8, KEY_OF_OTHER,
     IBV_WC_REM_ACCESS_ERR},
    {"READ of 0 bytes with a wrong key", IBV_WR_RDMA_READ, 0, 0, KEY_WRONG, IBV_WC_SUCCESS},
    {"WRITE of 0 bytes with a wrong key", IBV_WR_RDMA_WRITE, 0, 0, KEY_WRONG, IBV_WC_SUCCESS},
};

static int mode_negative(void) {
    struct connection other, victim;
    uint64_t random = settings.seed;
    int bad = 0;
    connection_open(&other, 1);
    connection_check(&other, &random);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *refusal = &refusals[i];
        connection_open(&victim, 1);
        connection_check(&victim, &random);
        uint32_t rkey = refusal->key == KEY_WRONG      ? victim.key.rkey ^ 0x00010100u
                        : refusal->key == KEY_OF_OTHER ? other.key.rkey
                                                       : victim.key.rkey;
        struct operation op = {.opcode = refusal->opcode, .offset = refusal->offset,
                               .length = refusal->length, .rkey = rkey};
        if (refusal->key == KEY_OF_OTHER)
            op.offset = other.key.address - victim.key.address;
        enum ibv_wc_status status = operation_run(&victim, &op);
        bool good = status == refusal->status;
        printf("%s - %s: %s\n", good ? "ok" : "not ok", refusal->name, ibv_wc_status_str(status));
        bad += !good;
        connection_close(&victim, status == IBV_WC_SUCCESS);
        connection_check(&other, &random);
    }
    connection_close(&other, true);
    return bad != 0;
}

static int mode_connections(void) {
    uint64_t random = settings.seed;
    for (unsigned long i = 0; i < settings.count; i++) {
        struct connection c;
        connection_open(&c, 1);
        connection_check(&c, &random);
        connection_close(&c, true);
        if ((i + 1) % 100 == 0)
            fprintf(stderr, "%lu connections\n", i + 1);
    }
    printf("client: %lu connections opened, used and closed\n", settings.count);
    return 0;
}

static _Noreturn void usage(void) {
    fprintf(stderr, "usage: client ADDRESS ops|negative|connections [--ops N] [--seed S] "
                    "[--depth 1..8] [--max-bytes B] [--port P] [--ack-timeout T] [--retries R]\n");
    exit(2);
}

int main(int count, char **words) {
    if (count < 3 || count % 2 == 0)
        usage();
    settings.address = words[1];
    settings.mode = words[2];
    settings.count = 200;
    for (int i = 3; i + 1 < count; i += 2) {
        unsigned long value = strtoul(words[i + 1], NULL, 0);
        if (!strcmp(words[i], "--ops"))
            settings.count = value;
        else if (!strcmp(words[i], "--seed"))
            settings.seed = value;
        else if (!strcmp(words[i], "--depth") && value >= 1 && value <= DEPTH_MAX)
            settings.depth = (uint32_t)value;
        else if (!strcmp(words[i], "--port"))
            settings.port = (uint16_t)value;
        else if (!strcmp(words[i], "--ack-timeout") && value < 32)
            settings.ack_timeout = (uint8_t)value;
        else if (!strcmp(words[i], "--max-bytes") && value >= 1 && value <= SCRATCH_BYTES)
            settings.bytes_max = (uint32_t)value;
        else if (!strcmp(words[i], "--retries") && value <= 7)
            settings.retry_count = (uint8_t)value;
        else
            usage();
    }
    if (!strcmp(settings.mode, "ops"))
        return mode_ops();
    if (!strcmp(settings.mode, "negative"))
        return mode_negative();
    if (!strcmp(settings.mode, "connections"))
        return mode_connections();
    usage();
}
