// The table of placement: each family at fixed parameters, each policy, many seeds, cost
// over the offline optimum. Usage: sim [--seeds N] [--jobs N] [--csv FILE] [--variants 0]
// (1: other alphas and wrong prices of a move too, the default); prints the table as
// comments and the claims as TAP.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "tests/place/sim.h"

#define ROWS_MAX 400
#define JOBS_MAX 16

struct row {
    struct params params;
    double mean[POLICIES], worst[POLICIES];
    double moves, returns;     // of alpha = 1, per 1000 operations
    u64 ops, broken;           // operations in all; traces that cost more than proven
    double err;                // standard error of the mean of alpha = 1
};

static struct row *rows;
static u32 n_rows;
static bool variants = true;

_Noreturn void panic(const char *format, ...) {
    fprintf(stderr, "panic: %s\n", format);
    abort();
}

static void row_add(enum family family, u32 n, u32 length, u32 share) {
    if (n_rows == ROWS_MAX) abort();
    rows[n_rows++].params = (struct params){family, n, length, share};
}

static void rows_make(void) {
    static const u32 nodes[] = {2, 4, 8, 16}, lengths[] = {16, 64, 256, 1024, 4096};
    static const u32 shares[] = {75, 90, 100};
    for (u32 a = 0; a < 4; a++) {
        u32 n = nodes[a];
        for (u32 l = 0; l < 5; l++)
            for (u32 q = 0; q < 3; q++) row_add(PHASES, n, lengths[l], shares[q]);
        for (u32 b = 16; b < SIM_MOVE; b += 16) row_add(BURSTS, n, b, 100);
        row_add(ZIPF, n, 0, 0);
        row_add(ZIPF, n, 4096, 0);
        for (u32 l = 0; l < 5; l++) row_add(PIPE, n, lengths[l], 50);
        row_add(MAKE, n, 0, 0);
        for (u32 l = 2; l < 5; l++) row_add(SQLITE, n, lengths[l], 75);
        for (u32 l = 0; l < 5; l++) row_add(SCAN, n, lengths[l], 100);
        for (u32 l = 3; l < 5; l++) row_add(DIURNAL, n, lengths[l], 0);
        for (u32 l = 2; l < 5; l++) row_add(BUSY, n, lengths[l], 90);
        row_add(CRUEL, n, 0, 0);
        row_add(CRUEL_BACK, n, 0, 0);
        row_add(CRUEL_LOAD, n, 0, 0);
    }
}

static bool has_loads(const struct params *p) {
    return p->family == DIURNAL || p->family == BUSY || p->family == CRUEL_LOAD;
}

// The mean that issue 3 claims for a row; with loads the proven worst case.
static double bound_of(const struct params *p) {
    if (has_loads(p)) return 2.0 * p->n - 1;
    bool clean = p->family == PHASES && p->share == 100;
    return clean || p->family == SCAN || p->family >= CRUEL ? 3.0 : 2.1;
}

// The proof's worst ratio, with what the start may add: no trace may cost more.
static bool within_proof(const struct params *p, u64 cost, u64 opt) {
    u64 ratio = has_loads(p) ? 2 * p->n - 1 : 3;
    return cost <= ratio * opt + 2 * SIM_MOVE * (u64)p->n;
}

static void row_run(struct row *row, u32 seeds) {
    static struct trace now, before;
    double squares = 0;
    for (u32 seed = 1; seed <= seeds; seed++) {
        trace_make(&before, &row->params, seed, 0);
        trace_make(&now, &row->params, seed, seed);
        u64 opt = optimum(&now), fixed[SIM_NODES_MAX];
        fixed_costs(&now, fixed);
        row->ops += now.ops;
        for (u32 k = 0; k < POLICIES; k++) {
            struct result r;
            if (!variants && k >= ALPHA_50 && k != ALPHA_100) continue;
            policy_run((enum policy)k, &now, &before, fixed, seed, &r);
            if (opt == 0) opt = 1;
            double ratio = (double)r.cost / (double)opt;
            row->mean[k] += ratio / seeds;
            if (ratio > row->worst[k]) row->worst[k] = ratio;
            if (k != ALPHA_100) continue;
            squares += ratio * ratio / seeds;
            row->moves += (double)r.moves;
            row->returns += (double)r.returns;
            row->broken += !within_proof(&row->params, r.cost, opt);
        }
    }
    double variance = squares - row->mean[ALPHA_100] * row->mean[ALPHA_100];
    row->err = sqrt(variance > 0 ? variance / seeds : 0);
    row->moves *= 1000.0 / (double)row->ops;
    row->returns *= 1000.0 / (double)row->ops;
}

static void rows_run(u32 seeds, u32 jobs) {
    pid_t pid[JOBS_MAX];
    for (u32 j = 0; j < jobs; j++) {
        pid[j] = fork();
        if (pid[j] < 0) abort();
        if (pid[j] != 0) continue;
        for (u32 i = j; i < n_rows; i += jobs) row_run(&rows[i], seeds);
        _exit(0);
    }
    for (u32 j = 0; j < jobs; j++) {
        int status;
        if (waitpid(pid[j], &status, 0) < 0 || status != 0) abort();
    }
}

static enum policy best_baseline(const struct row *row) {
    enum policy best = NEVER;
    for (u32 k = 0; k < POLICIES; k++)
        if (policy_is_baseline((enum policy)k) && row->mean[k] < row->mean[best])
            best = (enum policy)k;
    return best;
}

static void table_print(u32 seeds) {
    printf("# cost / offline optimum, mean of %u seeds; price of a move %u; worst, standard "
           "error,\n# moves and quick returns per 1000 operations are of a=1\n", seeds, SIM_MOVE);
    printf("# %-10s %2s %5s %4s |", "family", "N", "L", "q");
    for (u32 k = 0; k < POLICIES; k++) printf(" %7.7s", policy_name[k]);
    printf(" | %6s %5s %6s %6s | best online baseline\n", "worst", "+-", "moves", "return");
    for (u32 i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        printf("# %-10s %2u %5u %4.2f |", family_name[r->params.family], r->params.n,
               r->params.length, r->params.share / 100.0);
        for (u32 k = 0; k < POLICIES; k++) printf(" %7.2f", r->mean[k]);
        enum policy best = best_baseline(r);
        printf(" | %6.2f %5.3f %6.2f %6.2f | %s %.2f\n", r->worst[ALPHA_100], r->err, r->moves,
               r->returns, policy_name[best], r->mean[best]);
    }
}

static void csv_print(const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) abort();
    fprintf(f, "family,nodes,length,share,worst,moves,returns,best");
    for (u32 k = 0; k < POLICIES; k++) fprintf(f, ",%s", policy_name[k]);
    fprintf(f, "\n");
    for (u32 i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        fprintf(f, "%s,%u,%u,%u,%.4f,%.4f,%.4f,%.4f", family_name[r->params.family],
                r->params.n, r->params.length, r->params.share, r->worst[ALPHA_100], r->moves,
                r->returns, r->mean[best_baseline(r)]);
        for (u32 k = 0; k < POLICIES; k++) fprintf(f, ",%.4f", r->mean[k]);
        fprintf(f, "\n");
    }
    fclose(f);
}

static u32 tap_number;
static void tap(bool ok, const char *what) {
    printf("%sok %u - %s\n", ok ? "" : "not ", ++tap_number, what);
}

// The claims of a family, its clean and its noisy rows apart: the highest mean of a row, no
// trace beyond the proven worst case, and no quick return to a node.
static bool claims(enum family family, bool clean) {
    const struct row *worst = NULL;
    double over = -1e9, returns = 0;
    u64 broken = 0;
    char what[200];
    for (u32 i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        if (r->params.family != family) continue;
        if (family == PHASES && (r->params.share == 100) != clean) continue;
        broken += r->broken;
        if (!has_loads(&r->params)) returns += r->returns;
        if (worst && r->mean[ALPHA_100] - bound_of(&r->params) <= over) continue;
        over = r->mean[ALPHA_100] - bound_of(&r->params);
        worst = r;
    }
    if (!worst) return true;
    snprintf(what, sizeof what, "%s%s: mean cost over the optimum %.3f of at most %.1f (N=%u L=%u "
             "q=%.2f), %llu traces beyond the proof, %.3f quick returns", clean ? "clean " : "",
             family_name[family], worst->mean[ALPHA_100], bound_of(&worst->params),
             worst->params.n, worst->params.length, worst->params.share / 100.0,
             (unsigned long long)broken, returns);
    bool ok = over <= 0.001 && broken == 0 && returns == 0;
    tap(ok, what);
    return ok;
}

// The optimum of the table against a search of all schedules.
static bool optimum_checked(void) {
    static struct trace t;
    u32 wrong = 0;
    for (u64 seed = 1; seed <= 200; seed++) {
        struct params p = {seed % 2 ? BUSY : PHASES, 2 + (u32)(seed / 2 % 2), 16, 75};
        trace_make(&t, &p, seed, seed);
        t.ops = 9;
        for (u32 op = 0; op < t.ops; op++) t.load[0][op % p.n] = (u8)(seed % 23);
        wrong += optimum(&t) != optimum_by_search(&t);
    }
    tap(wrong == 0, "the optimum equals a search of all schedules on 200 tiny traces");
    return wrong == 0;
}

int main(int argc, char **argv) {
    u32 seeds = 20, jobs = 2;
    const char *csv = NULL;
    bool ok = true;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) seeds = (u32)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--jobs") == 0) jobs = (u32)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--variants") == 0) variants = atoi(argv[i + 1]) != 0;
        if (strcmp(argv[i], "--csv") == 0) csv = argv[i + 1];
    }
    if (seeds == 0 || jobs == 0 || jobs > JOBS_MAX) return 2;
    rows = mmap(NULL, ROWS_MAX * sizeof *rows, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    if (rows == MAP_FAILED) abort();
    rows_make();
    rows_run(seeds, jobs);
    table_print(seeds);
    if (csv) csv_print(csv);
    ok &= optimum_checked();
    for (u32 f = 0; f < FAMILIES; f++) {
        ok &= claims((enum family)f, false);
        if (f == PHASES) ok &= claims((enum family)f, true);
    }
    return !ok;
}
