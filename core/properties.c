#include "core/properties.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_END = -1, TEXT_END = -2, MALFORMED = -3 };

int properties_init(struct properties *properties, const char *text, size_t bytes)
{
    *properties = (struct properties){.at = text, .end = text + bytes};
    properties->scratch = malloc(bytes + 2); /* two terminators */
    return properties->scratch ? 0 : -ENOMEM;
}

void properties_deinit(struct properties *properties)
{
    free(properties->scratch);
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* The next character as it stands, every kind of line end as LINE_END. */
static int take_raw(struct properties *properties)
{
    if (properties->at == properties->end) {
        return TEXT_END;
    }
    uint8_t c = *properties->at++;
    if (c == '\r' && properties->at < properties->end && *properties->at == '\n') {
        properties->at++;
    }
    if (c == '\r' || c == '\n') {
        properties->lines_passed++;
        return LINE_END;
    }
    return c;
}

static int peek_raw(const struct properties *properties)
{
    if (properties->at == properties->end) {
        return TEXT_END;
    }
    uint8_t c = *properties->at;
    return c == '\r' || c == '\n' ? LINE_END : c;
}

static void skip_blanks(struct properties *properties)
{
    while (is_blank(peek_raw(properties))) {
        properties->at++;
    }
}

/* A backslash at a line's end joins the next line to it, without the blanks it begins with. */
static void skip_joints(struct properties *properties)
{
    while (peek_raw(properties) == '\\' && properties->at + 1 < properties->end &&
           (properties->at[1] == '\n' || properties->at[1] == '\r')) {
        properties->at++;
        take_raw(properties);
        skip_blanks(properties);
    }
}

static void put(struct properties *properties, uint32_t character) /* as UTF-8 */
{
    char *into = properties->into;
    if (character < 0x80) {
        *into++ = character;
    } else if (character < 0x800) {
        *into++ = 0xc0 | character >> 6;
        *into++ = 0x80 | (character & 0x3f);
    } else if (character < 0x10000) {
        *into++ = 0xe0 | character >> 12;
        *into++ = 0x80 | (character >> 6 & 0x3f);
        *into++ = 0x80 | (character & 0x3f);
    } else {
        *into++ = 0xf0 | character >> 18;
        *into++ = 0x80 | (character >> 12 & 0x3f);
        *into++ = 0x80 | (character >> 6 & 0x3f);
        *into++ = 0x80 | (character & 0x3f);
    }
    properties->into = into;
}

static int32_t hex_value(int c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 'a' ^ 'A';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : MALFORMED;
}

/* The four digits behind \u. */
static int32_t take_unit(struct properties *properties)
{
    int32_t unit = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int32_t digit = hex_value(peek_raw(properties));
        if (digit < 0) {
            return MALFORMED;
        }
        properties->at++;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* A character beyond 16 bits is written as two units. False: this is none. */
static bool take_unicode(struct properties *properties)
{
    int32_t unit = take_unit(properties);
    if (unit >= 0xd800 && unit < 0xdc00 && properties->end - properties->at >= 6 &&
        properties->at[0] == '\\' && properties->at[1] == 'u') {
        properties->at += 2;
        int32_t low = take_unit(properties);
        if (low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    if (unit <= 0 || (unit >= 0xd800 && unit < 0xe000)) {
        return false;
    }
    put(properties, unit);
    return true;
}

/* Behind a backslash. */
static bool take_escape(struct properties *properties)
{
    int c = take_raw(properties);
    switch (c) {
    case 'u':
        return take_unicode(properties);
    case 't':
        c = '\t';
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 'f':
        c = '\f';
        break;
    case TEXT_END: /* Java drops it too */
        return true;
    default:
        break;
    }
    *properties->into++ = c;
    return true;
}

/* Up to the line's end, or a key's end. False: malformed. */
static bool take_text(struct properties *properties, bool is_key)
{
    for (;;) {
        skip_joints(properties);
        int c = peek_raw(properties);
        if (c < 0 || (is_key && (is_blank(c) || c == '=' || c == ':'))) {
            break;
        }
        properties->at++;
        if (c == '\0') {
            properties->wrong = "a zero byte";
            return false;
        }
        if (c != '\\') {
            *properties->into++ = c;
        } else if (!take_escape(properties)) {
            properties->wrong = "\\u without the four digits of a character";
            return false;
        }
    }
    *properties->into++ = '\0';
    return true;
}

enum properties_next properties_read(struct properties *properties)
{
    int c;
    for (;;) { /* to the next line that is not blank and no comment */
        skip_blanks(properties);
        c = peek_raw(properties);
        if (c == TEXT_END) {
            return PROPERTIES_END;
        }
        if (c == '#' || c == '!') {
            while (take_raw(properties) >= 0) {
            }
        } else if (c == LINE_END) {
            take_raw(properties);
        } else {
            break;
        }
    }
    properties->line = properties->lines_passed + 1;
    properties->into = properties->scratch;
    properties->key = properties->into;
    if (!take_text(properties, true)) {
        return PROPERTIES_MALFORMED;
    }
    skip_joints(properties);
    skip_blanks(properties);
    skip_joints(properties);
    c = peek_raw(properties);
    if (c == '=' || c == ':') {
        properties->at++;
        skip_joints(properties);
        skip_blanks(properties);
    }
    properties->value = properties->into;
    return take_text(properties, false) ? PROPERTIES_ENTRY : PROPERTIES_MALFORMED;
}
