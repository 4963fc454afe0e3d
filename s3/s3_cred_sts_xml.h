/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_sts_xml - the answers of the Security Token Service: credentials, or a refusal.
 *
 *     <AssumeRole...Response><AssumeRole...Result><Credentials><AccessKeyId>...  <SecretAccessKey>  <SessionToken>
 *     <Expiration>...      the rest is passed over
 *     <ErrorResponse><Error><Code>AccessDenied</Code><Message>...
 *
 * Bounded in size and depth; a document type declaration is refused, and with it entities.  What expat keeps in
 * memory is wiped when it is given back.
 *
 * Errors: E_CORRUPT that never quotes the text; E_DENIED (or E_THROTTLED) with code and message of a refusal.
 */
#ifndef S3_CRED_STS_XML_H
#define S3_CRED_STS_XML_H

#include "s3_cred_box.h"

enum { S3_CRED_STS_XML_MAX = 64 << 10, S3_CRED_STS_XML_DEPTH_MAX = 16 };

MUST_USE struct rc s3_cred_sts_xml_decode(struct span xml, struct s3_cred_box *box, struct err *err);

#endif
