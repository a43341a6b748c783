/* conf/lint.h -- what is valid and still bites people: `v2c test` says it, as warnings.
 * Thread: one. Ownership: nothing. Called once all else was compiled without an error. */
#ifndef V2C_CONF_LINT_H
#define V2C_CONF_LINT_H

#include "conf/compile.h"

void lint(struct build *b, const struct root *root);

#endif
