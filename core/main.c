/* SPDX-License-Identifier: Apache-2.0 */
/* The backplane program. */
int
main(void)
{
    return 0;
}
