/* Columns of text for people, aligned by what they hold. */
#ifndef SQ_SCREEN_TEXT_TABLE_H
#define SQ_SCREEN_TEXT_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define SQ_TABLE_COLUMNS_MAX 24

struct sq_text_table;

struct sq_text_table *sq_text_table_new(uint32_t columns); /* NULL when out of memory */
void sq_text_table_free(struct sq_text_table *table);      /* NULL is fine */

/* The next cell, row by row (copied). Out of memory shows as an empty cell. */
void sq_text_table_add(struct sq_text_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fill the row that was begun with empty cells. */
void sq_text_table_end_row(struct sq_text_table *table);

/* Two spaces between columns, nothing after the last cell of a row that holds something. */
void sq_text_table_print(const struct sq_text_table *table, FILE *stream);

#endif
