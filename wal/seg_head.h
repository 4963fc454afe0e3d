/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_head - what stands at the head of a segment: where it belongs, its parts and the commit table.  Used by seg_dec.
 */
#ifndef SEG_HEAD_H
#define SEG_HEAD_H

#include "seg_block.h"

/* Read the head from the body of a segment, up to the first block.  `info` is zeroed but for `pack`; what it owns is
 * freed by seg_head_fini(), also after a failure. */
MUST_USE struct rc seg_head_decode(struct seg_info *info, struct cursor *c, struct zstr_dec *zstd, struct err *err);
void seg_head_fini(struct seg_info *info);

#endif
