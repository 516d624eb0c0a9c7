/* SPDX-License-Identifier: Apache-2.0 */
/* The program's commands; argv[0] is the command's name. Each returns the exit status: 0 well, 1 it
 * ran and failed, 2 it could not start (command line, description, plugin, host). */
#pragma once

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_plugins(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_sdk(int argc, char **argv);
