/* The control of decentralized unlearning: as many channels, drawn at random. */
#include "methods/schemes.h"
#include "select.h"

static ex_status select_random(ex_unlearning *u)
{
    const ex_config *c = &u->f->config;
    return ex_select_random(&u->mask, u->f->model, c->unlearn.delta,
                            (ex_layer_choice)c->unlearn.layers, ex_config_unlearn_seed(c));
}

const ex_method ex_method_de_random = {
    .name = "de-random",
    .help = "as de, with channels drawn at random: the control",
    .uses_delta = true,
    .check = ex_scheme_check_clients,
    .select = select_random,
    .run = ex_scheme_decentral,
};
