#include "screen/text_table.h"

#include "common/text.h"

#include "screen/width.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct sq_text_table {
    uint32_t columns;
    size_t cell_count;
    size_t cell_room;
    char **cells; /* row by row; NULL is empty */
};

struct sq_text_table *sq_text_table_new(uint32_t columns)
{
    struct sq_text_table *table = calloc(1, sizeof(*table));
    if (table != NULL)
        table->columns = columns < SQ_TABLE_COLUMNS_MAX ? columns : SQ_TABLE_COLUMNS_MAX;
    return table;
}

void sq_text_table_free(struct sq_text_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void sq_text_table_add(struct sq_text_table *table, const char *format, ...)
{
    if (table->cell_count == table->cell_room) {
        size_t room = table->cell_room * 2 + 64;
        char **cells = realloc(table->cells, room * sizeof(*cells));
        if (cells == NULL)
            return;
        table->cells = cells;
        table->cell_room = room;
    }
    va_list arguments;
    va_start(arguments, format);
    char *text = sq_text_print(format, arguments);
    va_end(arguments);
    table->cells[table->cell_count++] = text;
}

void sq_text_table_end_row(struct sq_text_table *table)
{
    while (table->cell_count % table->columns != 0) {
        size_t before = table->cell_count;
        sq_text_table_add(table, "%s", "");
        if (table->cell_count == before)
            return;
    }
}

static int width(const char *text)
{
    return text != NULL ? (int)sq_width(text) : 0;
}

static void print_row(const struct sq_text_table *table, size_t first, const int *widths, FILE *stream)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < table->columns && first + i < table->cell_count; i++)
        if (width(table->cells[first + i]) > 0)
            last = i;
    for (uint32_t i = 0; i <= last && first + i < table->cell_count; i++) {
        const char *text = table->cells[first + i] != NULL ? table->cells[first + i] : "";
        int padding = i < last ? widths[i] - width(text) + 2 : 0;
        (void)fprintf(stream, "%s%*s", text, padding, "");
    }
    (void)fputc('\n', stream);
}

void sq_text_table_print(const struct sq_text_table *table, FILE *stream)
{
    int widths[SQ_TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->cell_count; i++) {
        int *widest = &widths[i % table->columns];
        if (width(table->cells[i]) > *widest)
            *widest = width(table->cells[i]);
    }
    for (size_t first = 0; first < table->cell_count; first += table->columns)
        print_row(table, first, widths, stream);
}
