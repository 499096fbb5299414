/* What several methods share: they differ in what they select and in who tunes it. */
#ifndef EX_SCHEMES_H
#define EX_SCHEMES_H

#include "method.h"

/* Selects the unlearn.delta most important channels of each layer. */
ex_status ex_scheme_important(ex_unlearning *u);

/* The server alone tunes u->mask on its own samples with the class perturbed, until stop_forget or
 * unlearn.epochs. Its check: the server holds a sample of the class. */
ex_status ex_scheme_check_server(const ex_federation *f, int label);
ex_status ex_scheme_central(ex_unlearning *u);
/* Rounds in which the clients tune u->mask on their samples with the class perturbed, until
 * stop_forget or unlearn.rounds. Its check: a client holds a sample of the class. */
ex_status ex_scheme_check_clients(const ex_federation *f, int label);
ex_status ex_scheme_decentral(ex_unlearning *u);

/* How many of the samples carry the label. */
size_t ex_count_label(const ex_samples *s, int label);
/* Records on the ledger that all of these must be kept. */
void ex_record_stored(ex_unlearning *u, const ex_samples *sets, int set_count);

#endif
