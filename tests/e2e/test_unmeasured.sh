#!/usr/bin/env bash
# What there is no sample for is shown as not measured, neither as 0 nor as nan.
source "$(dirname "$0")/cli_common.sh"
shrink_jobs "rounds: 2, epochs: 2, probe: 1, stop_forget: -1"

# --- no test sample is of class 9
succeeds train -c tiny.yaml -o source
json source/report.json 'd["test"]["per_class"][9] is None'
succeeds unlearn source --method head --class 9 -o unmeasured
has err "epoch 1: forget -, retain 0."
has out "the class, test             -          -"
json unmeasured/report.json 'd["after"]["forget_test"] is None and d["trace"][0]["forget_test"] is None'
! grep -qi nan err || fail "the log says nan"

# --- of two pictures of a class, none is for tests
small_pictures pictures
succeeds train -c tiny.yaml -s dataset=folder -s data_dir="$work/pictures" -s train_samples=0 -s test_samples=0 \
    -s server.samples=2 -s rounds=1 -o untested
has err "warning: folder has no test samples, so nothing is measured on them; raise images.test_share"
has err "test accuracy -;"
has out "test accuracy  -"
has out "test loss      -"
! grep -qi nan out err || fail "training says nan"
succeeds eval untested
has out "test loss        -"
! grep -qi nan out err || fail "eval says nan"
