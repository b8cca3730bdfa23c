#include "net/codec.h"

void *codec_take_items(struct cursor *cursor, struct arena *arena, int32_t *count,
                       size_t item_bytes)
{
    if (*count <= 0) {
        return NULL;
    }
    void *items = arena_take(arena, (size_t)*count * item_bytes);
    if (!items) {
        cursor_fail(cursor);
        *count = 0;
    }
    return items;
}

void *codec_take_few(struct cursor *cursor, struct arena *arena, int32_t *count, size_t item_bytes)
{
    if (*count > CODEC_FEW_MAX) {
        cursor_fail(cursor);
        *count = 0;
    }
    return codec_take_items(cursor, arena, count, item_bytes);
}

void *codec_take_or_null(struct cursor *cursor, struct arena *arena, size_t bytes)
{
    if (cursor_int8(cursor) < 0 || cursor->failed) {
        return NULL;
    }
    void *taken = arena_take(arena, bytes);
    if (!taken) {
        cursor_fail(cursor);
    }
    return taken;
}

struct codec_records codec_records(struct view view)
{
    return (struct codec_records){.data = view.data, .bytes = view.bytes};
}

static void write_content(struct writer *writer, struct codec_records records)
{
    if (records.bytes > 0 && records.name) {
        writer_hole(writer, (uint32_t)records.bytes, records.name);
    } else {
        writer_view(writer, view_of(records.data, records.bytes));
    }
}

void codec_write_records(struct writer *writer, struct codec_records records)
{
    writer_int32(writer, records.bytes);
    write_content(writer, records);
}

void codec_write_compact_records(struct writer *writer, struct codec_records records)
{
    writer_compact_count_or_null(writer, records.bytes);
    write_content(writer, records);
}
