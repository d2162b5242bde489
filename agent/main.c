/* squalld: reads the command line and the configuration, and becomes the injector, the front, or a one-off
 * command. */
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "front/front.h"
#include "injector/config.h"
#include "injector/injector.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_STANDARD "/etc/squall/agent.yaml"

enum exit_status { EXIT_FINE = 0, EXIT_WRONG_INPUT = 2, EXIT_REFUSED = 3, EXIT_BROKEN = 4, EXIT_LEFT = 6 };

enum mode { MODE_SERVE, MODE_RECOVER, MODE_CHECK, MODE_HALT };

struct options {
    const char *config_path;
    bool is_front; /* this process is the front: for the injector alone, with these descriptors */
    int in_fd;
    int out_fd;
    int ready_fd;
    int config_fd;
    enum mode mode;
    const char *mode_option;
    bool json;
    bool sweep;
    bool verbose;
};

static const char help[] =
    "squalld " SQ_VERSION " - the agent of squall: injects faults here, and always ends them\n"
    "\n"
    "Usage:\n"
    "  squalld [--config FILE]                 serve, until SIGTERM or SIGINT\n"
    "  squalld --check [--json]                what can this host do, and why not?\n"
    "  squalld --halt                          end everything on this host, now\n"
    "  squalld --recover [--sweep]             undo what a dead agent left behind\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE  the agent's configuration (default " CONFIG_STANDARD ");\n"
    "                     every form reads it\n"
    "      --check        a gate: status 0 only if this agent would serve, and could\n"
    "                     do all that its policy allows; looks at configuration,\n"
    "                     policy, certificates, directories, where to listen, kernel\n"
    "                     and privileges; prints every fault, whether this host's\n"
    "                     kernel and privileges can do it and whether its policy\n"
    "                     allows it; changes nothing\n"
    "      --json         with --check: print JSON\n"
    "      --halt         through the agent if one is alive, also when it listens to\n"
    "                     nobody; one that does not answer within 2 s is ended.\n"
    "                     Without an agent as --recover\n"
    "      --recover      undo what the undo log holds, print it, and empty the log;\n"
    "                     refused while an agent is alive. The agent does the same\n"
    "                     whenever it starts\n"
    "      --sweep        with --recover, for a log that is damaged: find by squall's\n"
    "                     marks what is on this host, remove it, start a new log;\n"
    "                     takes away what other agents of this host injected on its\n"
    "                     network, too\n"
    "  -v, --verbose      log more\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n"
    "\n"
    "The agent is two processes: one without privileges that listens, and one that\n"
    "injects and listens to nobody else. SIGTERM and SIGINT revert everything and end\n"
    "it; SIGHUP reads the policy and the certificates again.\n"
    "\n"
    "Files:\n"
    "  " CONFIG_STANDARD "   listen, tls, policy, run, state, user, group and\n"
    "                           socket-mode\n"
    "  /etc/squall/policy.yaml  what may be injected here; without it: nothing\n"
    "  /run/squall/squalld/undo.log  what is to be undone\n"
    "\n"
    "Exit status:\n"
    "  0  done; nothing is left behind\n"
    "  2  the command line or a file is wrong; nothing was done\n"
    "  3  refused: another squalld is at work\n"
    "  4  failed; nothing is left behind\n"
    "  6  something could not be undone; the messages say what, and how to finish\n";

static int exit_status_of(enum sq_code code)
{
    switch (code) {
    case SQ_OK:
        return EXIT_FINE;
    case SQ_BAD_INPUT:
        return EXIT_WRONG_INPUT;
    case SQ_CONFLICT:
    case SQ_POLICY:
        return EXIT_REFUSED;
    case SQ_UNCLEAN:
    case SQ_TIMEOUT:
        return EXIT_LEFT;
    default:
        return EXIT_BROKEN;
    }
}

static int fail_usage(const char *text)
{
    (void)fprintf(stderr, "squalld: %s; `squalld --help` shows what is possible\n", text);
    return EXIT_WRONG_INPUT;
}

static int set_mode(struct options *options, enum mode mode, const char *option)
{
    if (options->mode_option != NULL && options->mode != mode)
        return fail_usage("--check, --halt and --recover exclude each other");
    options->mode = mode;
    options->mode_option = option;
    return EXIT_FINE;
}

static int read_front(const char *text, struct options *options)
{
    options->is_front = true;
    if (sscanf(text, "%d,%d,%d,%d", &options->in_fd, &options->out_fd, &options->ready_fd,
               &options->config_fd) != 4 ||
        options->in_fd < 3 || options->out_fd < 3 || options->ready_fd < 3 || options->config_fd < 3)
        return fail_usage("--front is for squalld's own use");
    return EXIT_FINE;
}

/* EXIT_FINE to go on, another status to end with, -1: all was said, end well. */
static int read_options(int argc, char **argv, struct options *options)
{
    enum {
        OPTION_RECOVER = 256,
        OPTION_CHECK,
        OPTION_HALT,
        OPTION_JSON,
        OPTION_VERSION,
        OPTION_FRONT,
        OPTION_SWEEP
    };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"recover", no_argument, NULL, OPTION_RECOVER},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"halt", no_argument, NULL, OPTION_HALT},
        {"json", no_argument, NULL, OPTION_JSON},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {"front", required_argument, NULL, OPTION_FRONT},
        {"sweep", no_argument, NULL, OPTION_SWEEP},
        {NULL, 0, NULL, 0},
    };
    int status = EXIT_FINE;
    for (int option; status == EXIT_FINE && (option = getopt_long(argc, argv, "c:vh", known, NULL)) != -1;) {
        if (option == 'c')
            options->config_path = optarg;
        else if (option == 'v')
            options->verbose = true;
        else if (option == OPTION_JSON)
            options->json = true;
        else if (option == OPTION_FRONT)
            status = read_front(optarg, options);
        else if (option == OPTION_SWEEP)
            options->sweep = true;
        else if (option == OPTION_RECOVER)
            status = set_mode(options, MODE_RECOVER, "--recover");
        else if (option == OPTION_CHECK)
            status = set_mode(options, MODE_CHECK, "--check");
        else if (option == OPTION_HALT)
            status = set_mode(options, MODE_HALT, "--halt");
        else if (option == OPTION_VERSION)
            return printf("squalld " SQ_VERSION "\n") < 0 ? EXIT_BROKEN : -1;
        else if (option == 'h')
            return fputs(help, stdout) < 0 ? EXIT_BROKEN : -1;
        else
            return fail_usage("the command line is wrong");
    }
    if (status == EXIT_FINE && optind < argc)
        status = fail_usage("there is an argument too many");
    if (status == EXIT_FINE && options->json && options->mode != MODE_CHECK)
        status = fail_usage("--json goes with --check");
    if (status == EXIT_FINE && options->sweep && options->mode != MODE_RECOVER)
        status = fail_usage("--sweep goes with --recover");
    return status;
}

static int run_front(const struct options *options, const struct sq_agent_config *config,
                     struct sq_error *error)
{
    const char *listen[SQ_LISTEN_MAX];
    for (uint32_t i = 0; i < config->listen_count; i++)
        listen[i] = config->listen[i];
    bool has_tls = config->tls_certificate[0] != '\0';
    const struct sq_front_options front = {
        .listen_count = config->listen_count,
        .listen = listen,
        .tls_certificate = has_tls ? config->tls_certificate : NULL,
        .tls_key = has_tls ? config->tls_key : NULL,
        .tls_controllers = has_tls ? config->tls_controllers : NULL,
        .uid = config->uid,
        .gid = config->gid,
        .socket_mode = config->socket_mode,
        .in_fd = options->in_fd,
        .out_fd = options->out_fd,
        .ready_fd = options->ready_fd,
    };
    return sq_front_run(&front, error);
}

/*
 * Undoing needs the run directory alone: a certificate that is missing must not keep a fault on a host, nor
 * must a configuration that is.
 */
static int load_config(const struct options *options, struct sq_agent_config *config, struct sq_error *error)
{
    /* What the injector has, not what the file says by now. */
    if (options->is_front)
        return sq_agent_config_receive(options->config_fd, config, error);
    if (sq_agent_config_load(options->config_path, config, error) == 0)
        return 0;
    bool is_standard = strcmp(options->config_path, CONFIG_STANDARD) == 0;
    if (is_standard && access(CONFIG_STANDARD, F_OK) != 0)
        sq_agent_config_init(config);
    if ((options->mode != MODE_RECOVER && options->mode != MODE_HALT) || config->run[0] == '\0')
        return -1;
    (void)fprintf(stderr, "squalld: warning: %s\n", error->text);
    return 0;
}

static int run(const struct options *options, const struct sq_agent_config *config, struct sq_error *error)
{
    if (options->is_front)
        return run_front(options, config, error);
    switch (options->mode) {
    case MODE_RECOVER:
        return options->sweep ? sq_injector_sweep(config, error) : sq_injector_recover(config, error);
    case MODE_CHECK:
        return sq_injector_check(config, options->json, error);
    case MODE_HALT:
        return sq_injector_halt(config, error);
    default: {
        const struct sq_injector_options injector = {.config = config};
        return sq_injector_run(&injector, error);
    }
    }
}

int main(int argc, char **argv)
{
    static struct sq_agent_config config;
    struct options options = {.config_path = CONFIG_STANDARD};
    struct sq_error error;
    if (sq_standard_files_open(&error) != 0)
        return EXIT_BROKEN;
    int status = read_options(argc, argv, &options);
    if (status != EXIT_FINE)
        return status < 0 ? EXIT_FINE : status;
    /* A closed pipe must not end a recovery half way. */
    (void)signal(SIGPIPE, SIG_IGN);
    sq_log_open(options.is_front ? "squalld-front" : "squalld", options.verbose ? SQ_LOG_DEBUG : SQ_LOG_INFO);
    if (options.is_front || options.mode == MODE_SERVE)
        sq_log_never_wait();
    if (load_config(&options, &config, &error) == 0 && run(&options, &config, &error) == 0)
        return EXIT_FINE;
    bool serves = options.is_front || options.mode == MODE_SERVE;
    if (serves)
        sq_log(SQ_LOG_ERROR, "%s", error.text);
    else
        (void)fprintf(stderr, "squalld: %s\n", error.text);
    return exit_status_of(error.code);
}
