/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power_loss - the moment in which the power goes, for fault_power: chance decides what of the unsafe changes arrived,
 * then the real directory is made equal to the safe state.
 */
#ifndef POWER_LOSS_H
#define POWER_LOSS_H

#include "power_disk.h"

void power_loss_choose(struct power_disk *d, uint64_t *seed);
void power_loss_apply(struct power_disk *d);

#endif
