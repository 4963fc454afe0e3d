/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

int main(int argc, char **argv)
{
    return weir_main(argc, argv, &fsys_real);
}
