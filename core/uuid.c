#include "core/uuid.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void uuid_to_text(const struct uuid *uuid, char text[UUID_TEXT_BYTES + 1])
{
    uint32_t bits = 0;
    int bits_count = 0;
    int length = 0;
    for (int i = 0; i < 16; i++) {
        bits = bits << 8 | uuid->bytes[i];
        for (bits_count += 8; bits_count >= 6; bits_count -= 6) {
            text[length++] = alphabet[bits >> (bits_count - 6) & 63];
        }
    }
    text[length++] = alphabet[bits << (6 - bits_count) & 63]; /* two bits are left of 128 */
    text[length] = '\0';
}

bool uuid_from_text(struct uuid *uuid, struct view text)
{
    if (text.bytes != UUID_TEXT_BYTES) {
        return false;
    }
    struct uuid read;
    uint32_t bits = 0;
    int bits_count = 0;
    int length = 0;
    for (int i = 0; i < UUID_TEXT_BYTES; i++) {
        const char *place = text.data[i] ? strchr(alphabet, text.data[i]) : NULL;
        if (!place) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(place - alphabet);
        bits_count += 6;
        if (bits_count >= 8) {
            bits_count -= 8;
            read.bytes[length++] = (uint8_t)(bits >> bits_count);
        }
    }
    if (bits & 15) { /* 132 bits of text for 128: else two texts would name one uuid */
        return false;
    }
    *uuid = read;
    return true;
}
