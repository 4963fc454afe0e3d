/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_quote.h"

#include <string.h>

enum { MIXED_MIN = 24, PLAIN_MIN = 40 };

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool may_be_secret(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || memchr("+/=_-", c, 5) != NULL;
}

static bool looks_secret(struct span piece)
{
    if (piece.size >= PLAIN_MIN)
        return true;
    if (piece.size < MIXED_MIN)
        return false;
    for (size_t i = 0; i < piece.size; i++) {
        if (is_digit(piece.data[i]) || piece.data[i] == '+' || piece.data[i] == '=')
            return true;
    }
    return false;
}

/* A JSON web token begins with '{"' in base64, and has dots between its parts. */
static bool is_jwt(struct span text, size_t at)
{
    return text.size - at >= 3 && memcmp(text.data + at, "eyJ", 3) == 0;
}

/* Bytes at `at` that belong together. */
static size_t piece_size(struct span text, size_t at)
{
    bool jwt = is_jwt(text, at);
    size_t n = 0;

    while (at + n < text.size && (may_be_secret(text.data[at + n]) || (jwt && text.data[at + n] == '.')))
        n++;
    return n;
}

const char *s3_cred_quote_text(struct span text, char out[S3_CRED_QUOTE_SIZE])
{
    static const char mask[] = "(masked)";
    size_t at = 0, n = 0;

    while (at < text.size && n < S3_CRED_QUOTE_MAX) {
        struct span piece = span_of(text.data + at, piece_size(text, at));
        uint8_t c = text.data[at];

        if (looks_secret(piece)) {
            memcpy(out + n, mask, sizeof mask - 1); /* S3_CRED_QUOTE_SIZE has room for one mask more */
            n += sizeof mask - 1;
            at += piece.size;
        } else if (piece.size > 0) {
            for (size_t i = 0; i < piece.size && n < S3_CRED_QUOTE_MAX; i++)
                out[n++] = (char)piece.data[i];
            at += piece.size;
        } else {
            if (c > ' ' && c <= '~')
                out[n++] = (char)c;
            else if (c > '~')
                out[n++] = '?';
            else if (n > 0 && out[n - 1] != ' ')
                out[n++] = ' ';
            at++;
        }
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = 0;
    return out;
}
