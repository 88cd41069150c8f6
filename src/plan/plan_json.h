/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_PLAN_JSON_H
#define FSMOE_PLAN_PLAN_JSON_H

#include <fsmoe/plan.h>
#include <jansson.h>

/* Reads a plan from a part of another file, which `where` names. Errors are those of
 * fsmoe_plan_load. */
int fsmoe_plan_from_json(struct fsmoe_plan *plan, json_t *root, const char *where);

#endif
