/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_files - the AWS shared files and the profiles in them.
 *
 *     AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials     [name]
 *     AWS_CONFIG_FILE or ~/.aws/config                      [profile name], [default]
 *
 * A profile is what both files say about it; where both do, the credentials file wins.  The two keys are always taken
 * from the same file.  Sections and settings that come again add to and replace the earlier ones, and [profile default]
 * hides [default], as with the AWS tools.
 *
 * A file that is not there is passed over, also one in the home directory that may not be looked at; one that was named
 * by a variable must be readable when it exists.
 */
#ifndef S3_CRED_FILES_H
#define S3_CRED_FILES_H

#include "s3_cred_env.h"

enum { S3_CRED_FILES_COUNT = 2 };

struct s3_cred_files {
    struct {
        char *path;              /* owned; NULL: no home directory */
        struct buf text;         /* by s3_cred_box_buf() */
        const char *absent;      /* why there is no text; NULL: there is */
    } file[S3_CRED_FILES_COUNT]; /* config, credentials */
};

enum s3_cred_setting {
    S3_CRED_ROLE_ARN,
    S3_CRED_SOURCE_PROFILE,
    S3_CRED_CREDENTIAL_SOURCE,
    S3_CRED_TOKEN_FILE,
    S3_CRED_SESSION_NAME,
    S3_CRED_EXTERNAL_ID,
    S3_CRED_MFA_SERIAL,
    S3_CRED_DURATION,
    S3_CRED_PROCESS,
    S3_CRED_REGION,
    S3_CRED_SETTING_COUNT,
};

struct s3_cred_profile {
    char *name;
    char *where;                           /* "profile a in /home/x/.aws/config", for people */
    struct s3_cred_box *keys;              /* NULL: none */
    char *settings[S3_CRED_SETTING_COUNT]; /* NULL: not set */
    bool sso;
};

MUST_USE struct rc s3_cred_files_read(const struct s3_cred_env *env, struct s3_cred_files *files, struct err *err);
void s3_cred_files_fini(struct s3_cred_files *files);
/* What was asked for: the option, AWS_PROFILE, or "default". */
const char *s3_cred_files_profile_name(const struct s3_cred_env *env);
/* `*out` NULL: neither file knows it. */
MUST_USE struct rc s3_cred_files_profile(
    const struct s3_cred_files *files, const char *name, struct s3_cred_profile **out, struct err *err);
void s3_cred_files_free_profile(struct s3_cred_profile *p);
void s3_cred_files_free_profilep(struct s3_cred_profile **p);
/* "/a/credentials (no such file) and /a/config", for people; owned by the caller. */
char *s3_cred_files_names(const struct s3_cred_files *files);

#endif
