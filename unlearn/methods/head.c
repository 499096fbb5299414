/* The control that every result is held against: the classifier's row of the class alone. */
#include "methods/schemes.h"
#include "select.h"

static ex_status select_head(ex_unlearning *u)
{
    return ex_select_head(&u->mask, u->f->model, u->label);
}

const ex_method ex_method_head = {
    .name = "head",
    .help = "as ce, with the classifier's row of the class alone: the control",
    .check = ex_scheme_check_server,
    .select = select_head,
    .on_server = true,
    .run = ex_scheme_central,
};
