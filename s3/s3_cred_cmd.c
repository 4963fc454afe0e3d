/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_cmd.h"

#include "alloc.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from `*at` to `to`, which has room for it; false for a quote that is not closed. */
static bool take_word(const char **at, char *to)
{
    const char *c = *at;
    char quote = 0;

    for (; *c != 0 && (quote != 0 || !is_space(*c)); c++) {
        if (quote == 0 && (*c == '\'' || *c == '"'))
            quote = *c;
        else if (*c == quote)
            quote = 0;
        else if (*c == '\\' && (quote == 0 || (quote == '"' && (c[1] == '"' || c[1] == '\\')))) {
            if (c[1] == 0)
                return false;
            *to++ = *++c;
        } else
            *to++ = *c;
    }
    *to = 0;
    *at = c;
    return quote == 0;
}

struct rc s3_cred_cmd_split(const char *line, char ***out, struct err *err)
{
    CLEANUP(s3_cred_cmd_freep) char **words = mem_new((S3_CRED_CMD_WORDS_MAX + 1) * sizeof *words);
    CLEANUP(mem_freep) char *word = mem_new(strlen(line) + 1);
    size_t n = 0;

    for (;;) {
        while (is_space(*line))
            line++;
        if (*line == 0)
            break;
        if (n == S3_CRED_CMD_WORDS_MAX)
            return rc_raise(err, E_CONFIG, "the command has more than %d words", S3_CRED_CMD_WORDS_MAX);
        if (!take_word(&line, word))
            return rc_raise(err, E_CONFIG, "the command ends inside of quotes or behind a backslash");
        words[n++] = mem_strdup(word);
    }
    if (n == 0 || words[0][0] == 0)
        return rc_raise(err, E_CONFIG, "the command is empty");
    *out = MOVE(words);
    return RC_OK;
}

void s3_cred_cmd_free(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        mem_free(words[i]);
    mem_free(words);
}

void s3_cred_cmd_freep(char ***words)
{
    s3_cred_cmd_free(*words);
}
