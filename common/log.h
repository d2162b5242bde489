/*
 * The one logging module: one line per event on standard error. Programs and event loops log;
 * leaf code returns errors instead.
 *
 * Lines read "2026-11-20T02:31:07.123Z squalld[812] warning: text". Under systemd (JOURNAL_STREAM
 * is set) they read "<4>text" instead, the priority prefix of sd-daemon(3), since the journal
 * stamps time and name itself. Control characters in the text become '?', so that no peer can forge
 * a line.
 */
#ifndef SQ_COMMON_LOG_H
#define SQ_COMMON_LOG_H

/* The syslog priorities of sd-daemon(3). */
enum sq_log_level { SQ_LOG_ERROR = 3, SQ_LOG_WARNING = 4, SQ_LOG_INFO = 6, SQ_LOG_DEBUG = 7 };

/* Name the program (copied) and the least important level that is still printed. */
void sq_log_open(const char *program, enum sq_log_level level);

/*
 * From now on, whoever does not take what is logged (a pipe that nobody reads, a terminal that was stopped, a
 * journal that hangs) costs lines and no time; how many were lost is told with the next one that is taken.
 */
void sq_log_never_wait(void);

void sq_log(enum sq_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
