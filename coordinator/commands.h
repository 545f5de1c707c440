// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of `auscult`, one file each. argv[0] is the subcommand's name. Each returns the
// program's exit status: 0 done, 1 findings of a checking command, 2 usage, 3 failed, 75 stopped by
// a signal and resumable. Called once, from main's thread.
#ifndef AUSCULT_COORDINATOR_COMMANDS_H
#define AUSCULT_COORDINATOR_COMMANDS_H

int cmd_run(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_extract(int argc, char **argv);
int cmd_eda(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_check_package(int argc, char **argv);
int cmd_package(int argc, char **argv);
int cmd_clean(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_synth(int argc, char **argv);

// `auscult score` without --model: a stage of a run.
int cmd_score_stage(int argc, char **argv);
// With --model and --out: a whole run with a network from elsewhere.
int cmd_score_network(int argc, char **argv);

#endif
