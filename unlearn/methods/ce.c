/* Centralized unlearning: the important channels, on the server. */
#include "methods/schemes.h"

const ex_method ex_method_ce = {
    .name = "ce",
    .help = "the server tunes the most important channels on its own samples",
    .needs_effects = true,
    .uses_delta = true,
    .check = ex_scheme_check_server,
    .select = ex_scheme_important,
    .on_server = true,
    .run = ex_scheme_central,
};
