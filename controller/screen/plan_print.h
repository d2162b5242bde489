/* The blast radius of a plan, as text for people. */
#ifndef SQ_SCREEN_PLAN_PRINT_H
#define SQ_SCREEN_PLAN_PRINT_H

#include "common/error.h"
#include "model/company.h"
#include "model/plan.h"

#include <stdbool.h>
#include <stdio.h>

/* The blast radius for people. `problems` may be NULL; `company` may be NULL or not asked for. */
void sq_plan_print(const struct sq_plan *plan, const struct sq_error *problems,
                   const struct sq_company *company, bool offline, bool colored, FILE *stream);

#endif
