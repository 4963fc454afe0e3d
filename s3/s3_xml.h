/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml - the XML that S3 stores answer with: errors, listings, uploads, copies, deletions.
 *
 * Answers are outside bytes: depth, text and number of elements are bounded, a document type or an entity of its own is
 * refused (S3 sends neither; they are how XML parsers are attacked), and what is not well-formed is E_CORRUPT.
 * Namespaces are ignored, as are elements that nobody asked for.
 *
 * Listings are asked for with encoding-type=url and always decoded, whether the answer says so or not: stores differ,
 * and weir's own keys have nothing to encode.  A '%' that is not followed by two hex digits stays as it is, and a '+'
 * is a space only where the answer says that it is encoded.
 *
 * Threads: any; no state.
 */
#ifndef S3_XML_H
#define S3_XML_H

#include "store.h"

enum {
    S3_XML_DEPTH_MAX = 16,
    S3_XML_TEXT_MAX = 4096, /* of one element; a key of 1,024 bytes has at most 3,072 when it is encoded */
    S3_XML_ELEMENTS_MAX = 64000,
    S3_XML_CODE_SIZE = 64,
    S3_XML_MESSAGE_SIZE = 256,
    S3_XML_ID_SIZE = 128,
};

/* <Error>, or the first <Error> of a <DeleteResult>.  What is not there is "", what is too long is cut. */
struct s3_xml_error {
    char code[S3_XML_CODE_SIZE];
    char message[S3_XML_MESSAGE_SIZE];
    char request_id[S3_XML_ID_SIZE];
    char region[S3_XML_CODE_SIZE];
    char endpoint[S3_XML_MESSAGE_SIZE];
    char key[S3_XML_MESSAGE_SIZE]; /* DeleteResult */
};

struct s3_xml_entry {
    char *key; /* owned; decoded; whole, as the store knows it */
    uint64_t size;
    int64_t modified_ms; /* 0: not told, or not understood */
    bool is_prefix;
};

/* Contents and common prefixes together, in the order of the answer. */
struct s3_xml_list {
    struct s3_xml_entry *entries; /* owned */
    size_t count;
    bool truncated;
    char *next_token; /* owned; NULL: none */
};

/* False when the bytes are no XML document, or one with another root. */
struct s3_xml_upload {
    char *key, *id;   /* owned; the key whole, as the store knows it */
    int64_t begun_ms; /* 0: not told, or not understood */
};

/* <ListMultipartUploadsResult>, which is asked for without an encoding. */
struct s3_xml_uploads {
    struct s3_xml_upload *uploads; /* owned */
    size_t count;
    bool truncated;
    char *next_key, *next_id; /* owned; NULL: none */
};

bool s3_xml_read_error(struct span xml, struct s3_xml_error *out);
MUST_USE struct rc s3_xml_read_list(struct span xml, struct s3_xml_list *out, struct err *err);
void s3_xml_list_fini(struct s3_xml_list *list);
/* What has no key or no id is "". */
MUST_USE struct rc s3_xml_read_uploads(struct span xml, struct s3_xml_uploads *out, struct err *err);
void s3_xml_uploads_fini(struct s3_xml_uploads *uploads);
/* <InitiateMultipartUploadResult>; the caller owns the id. */
MUST_USE struct rc s3_xml_read_upload_id(struct span xml, char **out, struct err *err);
/* <CompleteMultipartUploadResult>, <CopyObjectResult>, <CopyPartResult>: the ETag, "" when it is empty (Ceph tells it
 * with the first of these only when the object is read). */
MUST_USE struct rc s3_xml_read_etag(struct span xml, char out[STORE_ETAG_SIZE], struct err *err);
/* <DeleteResult>: how many keys were not deleted, and the first of these. */
MUST_USE struct rc s3_xml_read_deleted(
    struct span xml, size_t *failed_count, struct s3_xml_error *first, struct err *err);

/* Append text with the characters that XML keeps for itself replaced. */
void s3_xml_escape(const char *text, struct buf *out);

#endif
