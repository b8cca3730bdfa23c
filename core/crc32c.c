#include "core/crc32c.h"

#include "core/copy.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* The functions below work on the register itself; crc32c_by inverts it before and after. */

/* -- by table: half a byte a time; the reference, and for CPUs without anything better --------- */

static uint32_t by_table(uint32_t state, const uint8_t *from, size_t bytes)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < bytes; i++) {
        state ^= from[i];
        state = state >> 4 ^ table[state & 15];
        state = state >> 4 ^ table[state & 15];
    }
    return state;
}

enum { FOLD_BYTES_MIN = 256 }; /* below it no way is faster than one lane of instructions */

#if defined(__x86_64__)

#include <immintrin.h>

/* -- by instruction: one crc32q is ready after three cycles but may start in each -------------- */

static uint32_t by_one_lane(uint32_t state, const uint8_t *from, size_t bytes)
{
    uint64_t word;
    uint64_t wide = state;
    for (; bytes >= 8; bytes -= 8, from += 8) {
        memcpy(&word, from, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    state = (uint32_t)wide;
    for (; bytes > 0; bytes--, from++) {
        state = _mm_crc32_u8(state, *from);
    }
    return state;
}

enum { LANE_BYTES = 256 }; /* three lanes run side by side, then are joined */

/* The register after `factor`'s number of zero bytes: factor is x^(8 * bytes - 33) mod P. */
__attribute__((target("pclmul"))) static uint64_t moved(uint64_t state, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)state),
                                           _mm_cvtsi32_si128((int32_t)factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("pclmul"))) static uint32_t by_instruction(uint32_t state,
                                                                 const uint8_t *from, size_t bytes)
{
    for (; bytes >= (size_t)3 * LANE_BYTES; bytes -= 3 * LANE_BYTES, from += 3 * LANE_BYTES) {
        uint64_t a = state, b = 0, c = 0, word;
        for (size_t i = 0; i < LANE_BYTES; i += 8) {
            memcpy(&word, from + i, 8);
            a = _mm_crc32_u64(a, word);
            memcpy(&word, from + LANE_BYTES + i, 8);
            b = _mm_crc32_u64(b, word);
            memcpy(&word, from + 2 * LANE_BYTES + i, 8);
            c = _mm_crc32_u64(c, word);
        }
        state = (uint32_t)(moved(a, 0xdd7e3b0c) ^ moved(b, 0xb9e02b86) ^ c);
    }
    return by_one_lane(state, from, bytes);
}

/*
 * -- by folding: 64 bytes a cycle ---------------------------------------------------------------
 * Bytes that lie D bits further on may be replaced by their product with x^D mod P, added to what
 * is there. A 128-bit lane is multiplied in halves; the factors are x^(D + 63) and x^(D - 1) mod P,
 * bit-reflected. What is left in the end is 64 bytes with the same CRC as all before them.
 */
#define FOLD __attribute__((target("avx512f,vpclmulqdq,pclmul")))

FOLD static inline __m512i folded(__m512i lanes, __m512i factors, __m512i onto)
{
    __m512i low = _mm512_clmulepi64_epi128(lanes, factors, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(lanes, factors, 0x11);
    return _mm512_ternarylogic_epi64(low, high, onto, 0x96); /* exclusive or of the three */
}

FOLD static uint32_t by_fold(uint32_t state, const uint8_t *from, size_t bytes)
{
    if (bytes < FOLD_BYTES_MIN) {
        return by_one_lane(state, from, bytes);
    }
    const __m512i by_256 =
        _mm512_broadcast_i32x4(_mm_set_epi64x(0x1426a81500000000, (int64_t)0xe9a5d8be00000000));
    const __m512i by_64 =
        _mm512_broadcast_i32x4(_mm_set_epi64x(0x75bba45b00000000, 0x1c19243b00000000));
    __m512i a = _mm512_loadu_si512(from);
    __m512i b = _mm512_loadu_si512(from + 64);
    __m512i c = _mm512_loadu_si512(from + 128);
    __m512i d = _mm512_loadu_si512(from + 192);
    a = _mm512_xor_si512(a, _mm512_castsi128_si512(_mm_cvtsi32_si128((int32_t)state)));
    for (bytes -= 256, from += 256; bytes >= 256; bytes -= 256, from += 256) {
        a = folded(a, by_256, _mm512_loadu_si512(from));
        b = folded(b, by_256, _mm512_loadu_si512(from + 64));
        c = folded(c, by_256, _mm512_loadu_si512(from + 128));
        d = folded(d, by_256, _mm512_loadu_si512(from + 192));
    }
    d = folded(folded(folded(a, by_64, b), by_64, c), by_64, d);
    for (; bytes >= 64; bytes -= 64, from += 64) {
        d = folded(d, by_64, _mm512_loadu_si512(from));
    }
    uint8_t left[64];
    _mm512_storeu_si512(left, d);
    return by_one_lane(by_one_lane(0, left, sizeof(left)), from, bytes);
}

enum crc32c_way crc32c_best(void)
{
    if (!__builtin_cpu_supports("pclmul")) {
        return CRC32C_TABLE;
    }
    bool folds = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
    return folds ? CRC32C_FOLD : CRC32C_INSTRUCTION;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

static uint32_t by_one_lane(uint32_t state, const uint8_t *from, size_t bytes)
{
    uint64_t word;
    for (; bytes >= 8; bytes -= 8, from += 8) {
        memcpy(&word, from, 8);
        state = __crc32cd(state, word);
    }
    for (; bytes > 0; bytes--, from++) {
        state = __crc32cb(state, *from);
    }
    return state;
}

enum crc32c_way crc32c_best(void)
{
    return CRC32C_INSTRUCTION;
}

#else

#define by_one_lane by_table

enum crc32c_way crc32c_best(void)
{
    return CRC32C_TABLE;
}

#endif

#if !defined(__x86_64__)
#define by_instruction by_one_lane
#define by_fold by_one_lane
#endif

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *from, size_t bytes)
{
    assert(way <= crc32c_best());
    switch (way) {
    case CRC32C_FOLD:
        return ~by_fold(~crc, from, bytes);
    case CRC32C_INSTRUCTION:
        return ~by_instruction(~crc, from, bytes);
    case CRC32C_TABLE:
    default:
        return ~by_table(~crc, from, bytes);
    }
}

uint32_t crc32c(uint32_t crc, const void *from, size_t bytes)
{
    if (bytes < FOLD_BYTES_MIN) {
        return ~by_one_lane(~crc, from, bytes);
    }
    switch (crc32c_best()) { /* reads two words that the compiler's library set at the start */
    case CRC32C_FOLD:
        return ~by_fold(~crc, from, bytes);
    case CRC32C_INSTRUCTION:
        return ~by_instruction(~crc, from, bytes);
    default:
        return ~by_table(~crc, from, bytes);
    }
}

/* -- without looking at the bytes: a CRC is linear ----------------------------------------------- */

/* The product mod P; bit 31 is x^0. */
static uint32_t product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (; a; a <<= 1) {
        sum ^= a >> 31 ? b : 0;
        b = b >> 1 ^ (b & 1 ? 0x82f63b78 : 0);
    }
    return sum;
}

uint32_t crc32c_changed(uint32_t crc, uint32_t was, uint32_t is, uint64_t bytes_behind)
{
    uint32_t difference = was ^ is;
    for (uint32_t power = 1U << 23; bytes_behind > 0; bytes_behind >>= 1) { /* x^8, x^16, x^32 .. */
        difference = bytes_behind & 1 ? product(difference, power) : difference;
        power = product(power, power);
    }
    return crc ^ difference;
}

/* From here on the copy would only push other things out of the cache. */
enum { STREAMED_BYTES_MIN = 64 << 10 };

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes)
{
    enum { PIECE_BYTES = 8192 }; /* it stays in the first-level cache between the two */
    bool is_large = bytes >= STREAMED_BYTES_MIN;
    while (bytes > 0) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        crc = crc32c(crc, from, piece);
        if (is_large) {
            copy_streamed(to, from, piece);
        } else {
            memcpy(to, from, piece);
        }
        to = (uint8_t *)to + piece;
        from = (const uint8_t *)from + piece;
        bytes -= piece;
    }
    return crc;
}
