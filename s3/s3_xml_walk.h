/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml_walk - a walk over the elements of an XML document that came from outside, within the bounds of s3_xml.h.
 *
 *     struct s3_xml_walk w = {.on_close = see, .ctx = what_is_read};
 *     s3_xml_walk_run(&w, answer, err)
 *
 * `path` is where the walk is: "ListBucketResult/Contents/Key".  on_open and on_close are called for each element, the
 * latter with its text; elements with children have the text between them, which nobody looks at.
 */
#ifndef S3_XML_WALK_H
#define S3_XML_WALK_H

#include "s3_xml.h"

#include <expat.h>

enum { S3_XML_WALK_NAME_SIZE = 64, S3_XML_WALK_PATH_SIZE = S3_XML_DEPTH_MAX * S3_XML_WALK_NAME_SIZE };

struct s3_xml_walk {
    void (*on_open)(struct s3_xml_walk *w); /* NULL: nobody wants to know */
    void (*on_close)(struct s3_xml_walk *w);
    void *ctx;
    struct err *err; /* where the first failure is told */

    char path[S3_XML_WALK_PATH_SIZE];
    char text[S3_XML_TEXT_MAX + 1];
    size_t path_size, text_size;
    unsigned depth;

    /* Its own. */
    XML_Parser parser;
    unsigned element_count;
    bool failed;
};

MUST_USE struct rc s3_xml_walk_run(struct s3_xml_walk *w, struct span answer, struct err *err);
/* From a callback: what was read is not taken; `rc` was raised in w->err. */
void s3_xml_walk_refuse(struct s3_xml_walk *w, struct rc rc);
bool s3_xml_walk_at(const struct s3_xml_walk *w, const char *path);

#endif
