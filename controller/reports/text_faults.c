/* What became of the faults: hosts of which the same is to be said are one block. */
#include "reports/words.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "model/host_list.h"
#include "table/message.h"
#include "table/params.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One fault of one host. */
struct place {
    const json_t *host;
    const json_t *fault;
    const json_t *preview; /* its lines before the run; NULL: none */
};

/* What differs between hosts without anybody minding is told of the block as a whole. */
struct block {
    const struct sq_host_block *same;
    const struct place *places; /* by the block's numbers */
    const struct place *first;
};

static const char *const differing_keys[] = {"prepared", "injected", "clean", "removed", "seen", "counters"};

/* The same text for all of which the same is to be said. */
static char *key_of(const struct place *place)
{
    json_t *fault = json_copy((json_t *)place->fault);
    for (size_t i = 0; i < sizeof(differing_keys) / sizeof(differing_keys[0]); i++)
        (void)json_object_del(fault, differing_keys[i]);
    json_t *all = json_pack("[o, b, b, b]", fault, sq_has(place->fault, "injected"),
                            sq_is_true(place->host, "forgotten"), sq_is_true(place->host, "unconfirmed"));
    char *key = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    return key;
}

static bool was_shown_before(const json_t *preview, const json_t *line)
{
    size_t i;
    const json_t *shown;
    json_array_foreach(preview, i, shown)
    {
        if (json_equal(shown, line))
            return true;
    }
    return false;
}

static bool is_kind(const json_t *line, enum sq_line_kind kind)
{
    const char *word = json_string_value(json_object_get(line, "kind"));
    return word != NULL && strcmp(word, sq_line_kind_name(kind)) == 0;
}

/* Returns whether there was a warning among them. */
static bool print_lines(struct sq_text_report *text, const struct place *place)
{
    bool warned = false;
    size_t i;
    const json_t *line;
    json_array_foreach(json_object_get(place->fault, "lines"), i, line)
    {
        /* What it touches and spares was shown before the run; what came of it is the news. */
        if (is_kind(line, SQ_LINE_TOUCHES) || is_kind(line, SQ_LINE_SPARES) ||
            was_shown_before(place->preview, line))
            continue;
        warned = warned || is_kind(line, SQ_LINE_WARNING);
        const char *color = is_kind(line, SQ_LINE_NOTE) ? text->style->faint : text->style->warning;
        if (is_kind(line, SQ_LINE_LEFT))
            color = text->style->bad;
        (void)fprintf(text->stream, "    %s%s%s: %s\n", color, sq_shown(text, line, "kind"), text->style->end,
                      sq_shown(text, line, "text"));
    }
    json_int_t dropped = json_integer_value(json_object_get(place->fault, "lines_dropped"));
    if (dropped > 0)
        (void)fprintf(text->stream, "    and %lld more lines\n", (long long)dropped);
    return warned;
}

static bool is_word(const json_t *object, const char *key, const char *word)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && strcmp(text, word) == 0;
}

static bool is_instant(const json_t *fault)
{
    const char *name = json_string_value(json_object_get(fault, "fault"));
    const struct sq_fault_info *info = name != NULL ? sq_fault_by_name(name) : NULL;
    return info != NULL && info->instant;
}

static void print_proof(struct sq_text_report *text, const json_t *fault)
{
    const struct sq_report_style *style = text->style;
    if (is_word(fault, "proof", sq_proof_name(SQ_PROOF_PROVED)))
        (void)fprintf(text->stream, "    proved: nothing left, compared with what was there before\n");
    else if (is_word(fault, "proof", sq_proof_name(SQ_PROOF_CHANGED)))
        (void)fprintf(text->stream,
                      "    changed by others: nothing left of squall's own, the rest is as they made it\n");
    else if (is_word(fault, "proof", sq_proof_name(SQ_PROOF_LEFT)))
        (void)fprintf(text->stream, "    %sleft%s: something that squall made is still there\n", style->bad,
                      style->end);
    else if (is_word(fault, "state", sq_state_name(SQ_STATE_REVERTED)) && sq_has(fault, "injected") &&
             !is_instant(fault))
        (void)fprintf(text->stream, "    %swarning%s: removed, but %s with what was there before\n",
                      style->warning, style->end, sq_proof_name(SQ_PROOF_NONE));
}

/* The earliest and the latest of a time in the block, and whether all have it. */
struct range {
    uint64_t first_real_ns;
    uint64_t last_real_ns;
    bool all;
};

static const struct place *place_of(const struct block *block, uint32_t i)
{
    return &block->places[block->same->hosts[i]];
}

static struct range range_of(const struct block *block, const char *key)
{
    struct range range = {.all = true};
    for (uint32_t i = 0; i < block->same->count; i++) {
        uint64_t real_ns = sq_summary_time(place_of(block, i)->fault, key);
        if (real_ns == 0) {
            range.all = false;
            continue;
        }
        if (range.first_real_ns == 0 || real_ns < range.first_real_ns)
            range.first_real_ns = real_ns;
        if (real_ns > range.last_real_ns)
            range.last_real_ns = real_ns;
    }
    return range;
}

/* "19:12:08.123", or "19:12:08.123 to 19:12:08.131" for hosts that differ. */
static void print_range(struct sq_text_report *text, const struct range *range)
{
    (void)fprintf(text->stream, "%s", sq_shown_time(text, range->first_real_ns));
    if (range->last_real_ns != range->first_real_ns)
        (void)fprintf(text->stream, " (the last one %+.3f s)",
                      (double)(range->last_real_ns - range->first_real_ns) / 1e9);
}

static void print_times(struct sq_text_report *text, const struct block *block)
{
    struct range in = range_of(block, "injected");
    struct range out = range_of(block, "clean");
    if (in.first_real_ns == 0)
        return;
    (void)fprintf(text->stream, "    in from ");
    print_range(text, &in);
    if (out.first_real_ns != 0 && out.all) {
        (void)fprintf(text->stream, " until ");
        print_range(text, &out);
        (void)fprintf(text->stream, ", %.3f s", (double)sq_ns_sub(out.last_real_ns, in.first_real_ns) / 1e9);
    } else {
        (void)fprintf(text->stream, ", until when is not known%s",
                      out.first_real_ns != 0 ? " of all of them" : "");
    }
    (void)fprintf(text->stream, "\n");
}

static json_int_t counter_of(const struct place *place, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(place->fault, "counters"), name));
}

/* What was killed and did not come back is what somebody has to look after. */
static void print_not_back(struct sq_text_report *text, const struct block *block)
{
    json_int_t killed = 0;
    json_int_t back = 0;
    for (uint32_t i = 0; i < block->same->count; i++) {
        killed += counter_of(place_of(block, i), "killed");
        back += counter_of(place_of(block, i), "came-back");
    }
    if (back < killed)
        (void)fprintf(text->stream, "    %sDID NOT COME BACK%s: %lld of %lld that were killed\n",
                      text->style->bad, text->style->end, (long long)(killed - back), (long long)killed);
}

/* Of several hosts the least and the largest: a sum of what took so long says nothing. */
static void print_counters(struct sq_text_report *text, const struct block *block)
{
    const char *name;
    json_t *first;
    const char *separator = block->same->count > 1 ? "; on each " : ", ";
    json_object_foreach(json_object_get(block->first->fault, "counters"), name, first)
    {
        json_int_t least = json_integer_value(first);
        json_int_t most = least;
        for (uint32_t i = 1; i < block->same->count; i++) {
            const json_t *counters = json_object_get(place_of(block, i)->fault, "counters");
            json_int_t value = json_integer_value(json_object_get(counters, name));
            least = value < least ? value : least;
            most = value > most ? value : most;
        }
        (void)fprintf(text->stream, "%s%s %lld", separator, sq_shown_text(text, name), (long long)least);
        if (most != least)
            (void)fprintf(text->stream, " to %lld", (long long)most);
        separator = ", ";
    }
}

static bool is_failed(const json_t *fault)
{
    return is_word(fault, "state", sq_state_name(SQ_STATE_FAILED));
}

static void print_first_line(struct sq_text_report *text, const struct block *block, const char *names)
{
    const struct place *place = block->first;
    const json_t *fault = place->fault;
    bool guessed = sq_is_true(place->host, "unconfirmed") || sq_is_true(place->host, "forgotten");
    (void)fprintf(text->stream, "  %s: %s, %s: ", names, sq_shown(text, fault, "step"),
                  sq_shown(text, fault, "fault"));
    if (!sq_has(fault, "state")) {
        (void)fprintf(text->stream, "nothing is known of it\n");
        return;
    }
    (void)fprintf(text->stream, "%s%s%s%s", guessed || text->summary->ending == NULL ? "last seen as " : "",
                  is_failed(fault) ? text->style->bad : text->style->good, sq_shown(text, fault, "state"),
                  text->style->end);
    if (!sq_has(fault, "injected"))
        (void)fprintf(text->stream, ", never injected");
    else if (sq_has(fault, "ended_by") && !is_word(fault, "ended_by", sq_end_reason_name(SQ_END_NONE)))
        (void)fprintf(text->stream, " (%s)", sq_shown(text, fault, "ended_by"));
    print_counters(text, block);
    (void)fprintf(text->stream, "\n");
}

static void print_block(struct sq_text_report *text, const struct block *block)
{
    char names[SQ_HOST_LIST_MAX];
    const json_t *fault = block->first->fault;
    sq_host_list_format(block->same->names, block->same->count, names, sizeof(names));
    const char *shown = sq_shown_text(text, names);
    print_first_line(text, block, shown);
    if (sq_has(fault, "message"))
        (void)fprintf(text->stream, "    %s\n", sq_shown(text, fault, "message"));
    print_times(text, block);
    if (is_word(fault, "code", sq_code_name(SQ_VANISHED)) && sq_has(fault, "seen"))
        (void)fprintf(text->stream, "    it was last seen in place at %s\n",
                      sq_shown_time(text, sq_summary_time(fault, "seen")));
    print_not_back(text, block);
    bool warned = print_lines(text, block->first);
    print_proof(text, fault);
    if (sq_has(fault, "injected") && sq_has(fault, "touched") && !sq_is_true(fault, "touched") && !warned)
        (void)fprintf(text->stream,
                      "    %swarning%s: the fault touched nothing on %s: is it aimed at the right thing?\n",
                      text->style->warning, text->style->end, sq_shown_text(text, names));
    if (sq_is_true(block->first->host, "forgotten"))
        (void)fprintf(text->stream,
                      "    the agent was restarted and knows nothing of this run: it undid what "
                      "its log held before it answered\n");
}

/* All faults of all hosts as blocks; numbers are places. */
static struct sq_host_blocks *make_blocks(const struct place *places, uint32_t count)
{
    struct sq_host_blocks *blocks = sq_host_blocks_new();
    for (uint32_t i = 0; blocks != NULL && i < count; i++) {
        sq_autofree char *key = key_of(&places[i]);
        const char *name = json_string_value(json_object_get(places[i].host, "name"));
        if (key != NULL && sq_host_blocks_add(blocks, i, name != NULL ? name : "?", key) == 0)
            continue;
        sq_host_blocks_free(blocks);
        return NULL;
    }
    return blocks;
}

static uint32_t count_places(const struct sq_summary *summary)
{
    size_t count = 0;
    const char *name;
    json_t *host;
    json_object_foreach(summary->hosts, name, host)
    {
        count += json_array_size(json_object_get(host, "faults"));
    }
    return (uint32_t)count;
}

static void fill_places(const struct sq_summary *summary, struct place *places)
{
    uint32_t count = 0;
    const char *name;
    json_t *host;
    json_object_foreach(summary->hosts, name, host)
    {
        const json_t *planned = json_object_get(json_object_get(summary->plan, name), "faults");
        size_t i;
        const json_t *fault;
        json_array_foreach(json_object_get(host, "faults"), i, fault)
        {
            const json_t *preview = json_object_get(json_array_get(planned, i), "preview");
            places[count++] = (struct place){.host = host, .fault = fault, .preview = preview};
        }
    }
}

/* What its agent, or the way to it, said last, without the host's own name. */
static const char *problem_of(const struct sq_summary *summary, const char *name, const json_t *host)
{
    const char *problem = json_string_value(json_object_get(host, "problem"));
    const char *agent = json_string_value(json_object_get(json_object_get(summary->plan, name), "agent"));
    if (problem == NULL || problem[0] == '\0')
        return "it did not answer";
    return sq_host_said_of(name, agent != NULL ? agent : "", problem);
}

static void print_unconfirmed_block(struct sq_text_report *text, const struct sq_host_block *block)
{
    char names[SQ_HOST_LIST_MAX];
    sq_host_list_format(block->names, block->count, names, sizeof(names));
    const char *shown = sq_shown_text(text, names);
    (void)fprintf(text->stream, "  %s: %snot confirmed as clean%s: %s\n", shown, text->style->bad,
                  text->style->end, sq_shown_text(text, block->text));
    (void)fprintf(
        text->stream,
        "    %s lease is over, so by its kernel's clock no fault applies any more; what it made may be "
        "left.\n    To finish, on %s: squalld --recover, or start its squalld again; then: squall "
        "status\n",
        block->count == 1 ? "its" : "each one's", block->count == 1 ? shown : "each of them");
}

/* Hosts that never said that they are clean. */
static void print_unconfirmed(struct sq_text_report *text)
{
    const char *name;
    json_t *host;
    uint32_t count = 0;
    struct sq_host_blocks *blocks = sq_host_blocks_new();
    json_object_foreach(text->summary->hosts, name, host)
    {
        if (blocks != NULL && sq_is_true(host, "unconfirmed"))
            (void)sq_host_blocks_add(blocks, count++, name, problem_of(text->summary, name, host));
    }
    const struct sq_host_block *all = blocks != NULL ? sq_host_blocks_all(blocks, &count) : NULL;
    for (uint32_t i = 0; all != NULL && i < count; i++)
        print_unconfirmed_block(text, &all[i]);
    sq_host_blocks_free(blocks);
}

void sq_report_faults(struct sq_text_report *text)
{
    uint32_t count = count_places(text->summary);
    sq_autofree struct place *places = calloc((size_t)count + 1, sizeof(*places));
    if (places == NULL)
        return;
    fill_places(text->summary, places);
    struct sq_host_blocks *blocks = make_blocks(places, count);
    uint32_t block_count = 0;
    const struct sq_host_block *all = blocks != NULL ? sq_host_blocks_all(blocks, &block_count) : NULL;
    if (blocks == NULL)
        (void)fprintf(text->stream, "  (out of memory for what became of the faults)\n");
    for (uint32_t i = 0; i < block_count; i++) {
        struct block block = {.same = &all[i], .places = places, .first = &places[all[i].hosts[0]]};
        print_block(text, &block);
    }
    sq_host_blocks_free(blocks);
    print_unconfirmed(text);
    if (count > 0)
        (void)fprintf(text->stream, "\n");
}
