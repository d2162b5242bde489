/*
 * Runs a fuzz target without libFuzzer: every seed file as it is, then seeded mutations of them, the same
 * ones on every run.
 *
 *     fuzz_NAME [SEED_FILE | SEED_DIRECTORY]...
 *
 * SQ_FUZZ_ROUNDS mutations (200000 unless set), or as many as fit into SQ_FUZZ_SECONDS (20). A finding is a
 * crash; the input of it is left in fuzz-crash-NAME in the working directory.
 */
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEDS_MAX   256
#define INPUT_BYTES (64u * 1024)

struct seed {
    char *bytes;
    size_t length;
};

static struct seed seeds[SEEDS_MAX];
static size_t seed_count;
static char crash_path[PATH_MAX];

/* What is being tried: global for the signal handler. */
static uint8_t *input;
static size_t input_length;

static uint64_t random_state = 7433;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t mixed = random_state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static size_t below(size_t bound)
{
    return bound == 0 ? 0 : (size_t)(next_random() % bound);
}

static void on_crash(int number)
{
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)sq_write_all(fd, input, input_length);
        (void)close(fd);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void add_file(const char *path)
{
    struct sq_error error = {0};
    if (seed_count == SEEDS_MAX)
        return;
    struct seed *seed = &seeds[seed_count];
    if (sq_file_read(path, INPUT_BYTES, &seed->bytes, &seed->length, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    seed_count++;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names, or the mutations would differ from machine to machine. */
static void add_directory(const char *path, DIR *directory)
{
    static char *names[SEEDS_MAX];
    size_t count = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL && count < SEEDS_MAX;
         entry = readdir(directory))
        if (entry->d_name[0] != '.')
            names[count++] = strdup(entry->d_name);
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        char file[PATH_MAX];
        struct stat status;
        if (names[i] != NULL && snprintf(file, sizeof file, "%s/%s", path, names[i]) < (int)sizeof file &&
            stat(file, &status) == 0 && S_ISREG(status.st_mode))
            add_file(file);
        free(names[i]);
    }
}

static void add_seeds(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        add_file(path);
        return;
    }
    add_directory(path, directory);
    (void)closedir(directory);
}

static void try_input(void)
{
    /* A buffer of just this size, so that a sanitizer sees a read beyond its end. */
    uint8_t *exact = malloc(input_length == 0 ? 1 : input_length);
    if (exact == NULL)
        return;
    memcpy(exact, input, input_length);
    (void)LLVMFuzzerTestOneInput(exact, input_length);
    free(exact);
}

static void take(const struct seed *seed)
{
    input_length = seed->length < INPUT_BYTES ? seed->length : INPUT_BYTES;
    memcpy(input, seed->bytes, input_length);
}

/* A run of bytes from a seed, put in the place of some or between others. */
static void insert_run(void)
{
    const struct seed *seed = &seeds[below(seed_count)];
    size_t from = below(seed->length);
    size_t length = below(seed->length - from + 1);
    size_t at = below(input_length + 1);
    size_t replaced = below(2) == 0 ? 0 : below(input_length - at + 1);
    if (input_length - replaced + length > INPUT_BYTES)
        return;
    memmove(input + at + length, input + at + replaced, input_length - at - replaced);
    memcpy(input + at, seed->bytes + from, length);
    input_length += length - replaced;
}

static void mutate(void)
{
    size_t at = below(input_length);
    switch (below(6)) {
    case 0:
        if (input_length > 0)
            input[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (input_length > 0)
            input[at] = (uint8_t)next_random();
        break;
    case 2:
        if (input_length > 0)
            input[at] = (uint8_t) "\0\x7f\x80\xff\"{}[]:-\n "[below(13)];
        break;
    case 3:
        input_length = below(8) == 0 ? at : input_length;
        break;
    case 4:
        if (input_length > 0) {
            memmove(input + at, input + at + 1, input_length - at - 1);
            input_length--;
        }
        break;
    default:
        insert_run();
    }
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text == NULL ? standard : strtoull(text, NULL, 10);
}

int main(int argument_count, char **arguments)
{
    const char *slash = strrchr(arguments[0], '/');
    (void)snprintf(crash_path, sizeof crash_path, "fuzz-crash-%s", slash == NULL ? arguments[0] : slash + 1);
    (void)signal(SIGABRT, on_crash);
    (void)signal(SIGSEGV, on_crash);
    (void)signal(SIGBUS, on_crash);
    input = malloc(INPUT_BYTES);
    for (int i = 1; i < argument_count; i++)
        add_seeds(arguments[i]);
    if (input == NULL || seed_count == 0) {
        (void)fprintf(stderr, "usage: %s SEED_FILE | SEED_DIRECTORY...\n", arguments[0]);
        return 2;
    }
    for (size_t i = 0; i < seed_count; i++) {
        take(&seeds[i]);
        try_input();
    }
    uint64_t rounds = setting("SQ_FUZZ_ROUNDS", 200000);
    uint64_t end_ns = sq_boot_ns() + setting("SQ_FUZZ_SECONDS", 20) * SQ_NS_PER_SECOND;
    uint64_t round = 0;
    for (; round < rounds && sq_boot_ns() < end_ns; round++) {
        take(&seeds[below(seed_count)]);
        for (size_t changes = 1 + below(4); changes > 0; changes--)
            mutate();
        try_input();
    }
    (void)printf("%zu seeds and %ju mutations of them\n", seed_count, (uintmax_t)round);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    free(input);
    return 0;
}
