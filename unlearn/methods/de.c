/* Decentralized unlearning: the important channels, by the clients. */
#include "methods/schemes.h"

const ex_method ex_method_de = {
    .name = "de",
    .help = "the clients tune the most important channels on their samples",
    .needs_effects = true,
    .uses_delta = true,
    .check = ex_scheme_check_clients,
    .select = ex_scheme_important,
    .run = ex_scheme_decentral,
};
