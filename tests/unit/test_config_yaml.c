/* SPDX-License-Identifier: Apache-2.0 */
/* Trees with places; everything that is refused, with the whole text; files that cannot be read. */
#include "check.h"

#include "alloc.h"
#include "config_yaml.h"
#include "fault_fsys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config_yaml *parse(const char *text)
{
    struct config_yaml *root = NULL;
    struct err err;
    struct rc rc = config_yaml_parse(&root, "f.yml", span_of(text, strlen(text)), &err);

    assert_ok_err(rc, &err);
    assert_non_null(root);
    return root;
}

static void refuses(const char *text, const char *message)
{
    struct config_yaml *root = NULL;
    struct err err;

    assert_fails(config_yaml_parse(&root, "f.yml", span_of(text, strlen(text)), &err), E_CONFIG);
    assert_string_equal(err.msg, message);
    assert_null(root);
}

static void test_tree(void **state)
{
    struct config_yaml *root = parse("# comment\n"
                                     "databases:\n"
                                     "  - path: /a.db\n"
                                     "    sync: {interval: 1s, 'commits': \"5\"}\n"
                                     "  - ü: ~\n"
                                     "log: null\n");
    const struct config_yaml *list, *node;

    (void)state;
    assert_int_equal(root->kind, CONFIG_YAML_MAP);
    assert_int_equal(root->count, 2);
    list = config_yaml_get(root, "databases");
    assert_int_equal(list->kind, CONFIG_YAML_LIST);
    assert_int_equal(list->count, 2);
    assert_int_equal(list->key_line, 2);
    assert_int_equal(list->key_column, 1);
    assert_int_equal(list->first->line, 3);
    assert_int_equal(list->first->column, 5);
    node = config_yaml_get(list->first, "path");
    assert_string_equal(node->text, "/a.db");
    assert_int_equal(node->line, 3);
    assert_int_equal(node->column, 11);
    node = config_yaml_get(list->first, "sync");
    assert_string_equal(config_yaml_get(node, "interval")->text, "1s");
    assert_int_equal(config_yaml_get(node, "interval")->column, 22);
    assert_string_equal(config_yaml_get(node, "commits")->text, "5");
    assert_null(config_yaml_get(node, "other"));
    node = config_yaml_get(list->first->next, "ü");
    assert_true(node->empty);
    assert_int_equal(node->column, 8); /* characters, not bytes */
    assert_true(config_yaml_get(root, "log")->empty);
    config_yaml_free(root);
    config_yaml_free(NULL);
}

static void test_scalars_stay_text(void **state)
{
    struct config_yaml *root = parse("a: no\nb: 1.10\nc: '~'\nd: ''\ne:\nf: >-\n  two\n  words\n");

    (void)state;
    assert_string_equal(config_yaml_get(root, "a")->text, "no");
    assert_string_equal(config_yaml_get(root, "b")->text, "1.10");
    assert_false(config_yaml_get(root, "c")->empty);
    assert_false(config_yaml_get(root, "d")->empty);
    assert_true(config_yaml_get(root, "e")->empty);
    assert_string_equal(config_yaml_get(root, "f")->text, "two words");
    config_yaml_free(root);
}

static void test_empty(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# nothing\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config_yaml *root = parse(texts[i]);

        assert_int_equal(root->kind, CONFIG_YAML_MAP);
        assert_int_equal(root->count, 0);
        config_yaml_free(root);
    }
}

static void test_refused(void **state)
{
    (void)state;
    refuses("a: &x 1\nb: *x\n", "f.yml:1:4: anchors (&x) are not supported: use defaults:");
    refuses("a: 1\nb: *x\n", "f.yml:2:4: aliases (*x) are not supported: use defaults:");
    refuses("a: !!str 1\n", "f.yml:1:4: tags (tag:yaml.org,2002:str) are not supported");
    refuses("a: &l [1]\n", "f.yml:1:4: anchors (&l) are not supported: use defaults:");
    refuses("a: !x {b: 1}\n", "f.yml:1:4: tags (!x) are not supported");
    refuses("a: 1\nb: 2\na: 3\n", "f.yml:3:1: 'a' stands here a second time, first in line 1");
    refuses("a: {b: 1, b: 2}\n", "f.yml:1:11: 'b' stands here a second time, first in line 1");
    refuses("[1]: 2\n", "f.yml:1:1: a key must be a single word, not a list");
    refuses("? {a: b}\n: 2\n", "f.yml:1:3: a key must be a single word, not a mapping");
    refuses("~: 2\n", "f.yml:1:1: a key is empty");
    refuses("'': 2\n", "f.yml:1:1: a key is empty");
    refuses("a: 1\n---\nb: 2\n", "f.yml:2:1: a second document: there must be one");
    refuses("a: |\n  secret\n", "f.yml:1:4: a value must be one line");
    refuses("a: \"x\\ty\"\n", "f.yml:1:4: a value must not hold control characters (here 0x09)");
    refuses("a: \"x\\0y\"\n", "f.yml:1:4: a value must not hold control characters (here 0x00)");
    refuses("a: [[[[[[[[1]]]]]]]]\n", "f.yml:1:11: more than 8 levels");
}

static void test_syntax(void **state)
{
    (void)state;
    refuses("a: [1, 2\n", "f.yml:2:1: not valid YAML: did not find expected ',' or ']' (while parsing a flow "
                          "sequence, line 1)");
    refuses("a: b: c\n", "f.yml:1:5: not valid YAML: mapping values are not allowed in this context");
    refuses("a: 1\n\tb: 2\n",
        "f.yml:2:1: not valid YAML: found a tab character that violates indentation (while scanning a "
        "plain scalar, line 1)");
    refuses("a: 'x\n", "f.yml:2:1: not valid YAML: found unexpected end of stream (while scanning a quoted scalar, "
                       "line 1)");
    refuses("ab: ü\xff\n", "f.yml:1:6: this is not text in UTF-8: invalid leading UTF-8 octet");
    refuses("a: 1\nb: \x01\n", "f.yml:2:4: this is not text in UTF-8: control characters are not allowed");
}

/* So many keys or items. */
static char *many(size_t count, bool keys)
{
    struct buf out;
    char *text;

    buf_init(&out, 16 << 20);
    for (size_t i = 0; i < count; i++)
        if (keys)
            buf_printf(&out, "k%zu: 1\n", i);
        else
            buf_text(&out, "- 1\n");
    text = mem_strdup(buf_str(&out));
    buf_fini(&out);
    return text;
}

static void test_limits(void **state)
{
    char *text = many(CONFIG_YAML_KEYS_MAX, true);
    struct config_yaml *root = parse(text);

    (void)state;
    assert_int_equal(root->count, CONFIG_YAML_KEYS_MAX);
    config_yaml_free(root);
    mem_free(text);
    text = many(CONFIG_YAML_KEYS_MAX + 1, true);
    refuses(text, "f.yml:101:1: more than 100 keys in one mapping");
    mem_free(text);
    text = many(CONFIG_YAML_NODES_MAX - 1, false); /* and the list itself */
    root = parse(text);
    assert_int_equal(root->count, CONFIG_YAML_NODES_MAX - 1);
    config_yaml_free(root);
    mem_free(text);
    text = many(CONFIG_YAML_NODES_MAX, false);
    refuses(text, "f.yml:100000:3: more than 100000 values");
    mem_free(text);
    text = many(CONFIG_YAML_SIZE_MAX / 4 + 1, false);
    refuses(text, "f.yml: larger than 1048576 bytes");
    mem_free(text);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, text, strlen(text), 0600, &err), &err);
}

static void test_load(void **state)
{
    char dir[] = "/tmp/test-config-yaml-XXXXXX";
    CLEANUP(mem_freep) char *path = NULL, *message = NULL, *large = NULL;
    struct config_yaml *root = NULL;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    path = mem_printf("%s/weir.yml", dir);
    assert_fails(config_yaml_load(&root, &fsys_real, path, &err), E_NOTFOUND);
    message = mem_printf("open %s: No such file or directory", path);
    assert_string_equal(err.msg, message);
    put_file(path, "a: 1\n");
    assert_ok_err(config_yaml_load(&root, &fsys_real, path, &err), &err);
    config_yaml_free(MOVE(root));
    large = many(CONFIG_YAML_SIZE_MAX / 4 + 1, false);
    put_file(path, large);
    assert_fails(config_yaml_load(&root, &fsys_real, path, &err), E_CONFIG);
    mem_free(MOVE(message));
    message = mem_printf("%s: larger than 1048576 bytes", path);
    assert_string_equal(err.msg, message);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_faults(void **state)
{
    char dir[] = "/tmp/test-config-yaml-XXXXXX";
    CLEANUP(mem_freep) char *path = NULL;
    struct fault_fsys f;
    long n;

    (void)state;
    assert_non_null(mkdtemp(dir));
    path = mem_printf("%s/weir.yml", dir);
    put_file(path, "a: 1\nb: [2, 3]\n");
    for (n = 1;; n++) {
        struct config_yaml *root = NULL;
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        f.ops = FAULT_ALL & ~(unsigned)FAULT_CLOSE; /* closing what was only read cannot lose anything */
        f.short_io = true;
        rc = config_yaml_load(&root, &f.fs, path, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            assert_int_equal(root->count, 2);
            config_yaml_free(root);
            break;
        }
        assert_fails(rc, E_IO);
        assert_non_null(strstr(err.msg, "Input/output error"));
        assert_non_null(strstr(err.msg, path));
        assert_null(root);
    }
    assert_in_range(n, 4, 20);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_scalars_stay_text),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
