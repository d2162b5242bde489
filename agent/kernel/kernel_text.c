#include "kernel/kernel_text.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define CONFIG_BYTES_MAX (4u << 20) /* twenty times what distributions have */
#define LINE_MAX_BYTES   1024

char *sq_kernel_config_read(const char *path)
{
    gzFile file = gzopen(path, "rbe");
    if (file == NULL)
        return NULL;
    sq_autofree char *text = malloc(CONFIG_BYTES_MAX);
    int length = text == NULL ? -1 : gzread(file, text, CONFIG_BYTES_MAX - 1);
    bool whole = length > 0 && (unsigned)length < CONFIG_BYTES_MAX - 1 && gzeof(file);
    if (gzclose(file) != Z_OK || !whole)
        return NULL;
    text[length] = '\0';
    return sq_take(text);
}

/* "ffffffff81000000 T name" or "ffffffff81000000 t name\t[module]" */
static char *symbol_of(char *line, bool *in_module)
{
    char *symbol = strrchr(line, '\t');
    *in_module = symbol != NULL;
    if (symbol != NULL)
        *symbol = '\0';
    line[strcspn(line, "\n")] = '\0';
    symbol = strchr(line, ' ');
    return symbol == NULL || symbol[1] == '\0' || symbol[2] != ' ' ? NULL : symbol + 3;
}

void sq_kernel_symbols(bool (*visit)(const char *symbol, bool in_module, void *cookie), void *cookie)
{
    FILE *file = fopen("/proc/kallsyms", "re");
    char line[LINE_MAX_BYTES];
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        bool in_module;
        const char *symbol = symbol_of(line, &in_module);
        if (symbol != NULL && !visit(symbol, in_module, cookie))
            break;
    }
    (void)fclose(file);
}
