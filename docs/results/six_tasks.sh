#!/usr/bin/env bash
# Adapters, full fine-tuning and head-only on six tasks; see docs/results.md.
# usage: six_tasks.sh DATA_DIR OUTPUT_DIR "SEEDS" "METHODS"
# DATA_DIR holds the folders cola, sst2, mrpc, stsb (GLUE files), sms_spam
# (SMSSpamCollection) and cf_airline (Tweets.csv). Finished runs are skipped,
# an interrupted one is continued.
set -u
data=$1 out=$2 seeds=$3 methods=$4
one_run() { # name seed method flags...
  local dir="$out/$1.$3.$2" name=$1 seed=$2 method=$3
  shift 3
  [ -f "$dir/metrics.json" ] && return
  mkdir -p "$out"
  adapters-tf-train "$@" --tuning="$method" --seed="$seed" --output_dir="$dir" \
    > "$out/$name.$method.$seed.log" 2>&1 || echo "failed: $dir (see its .log)"
}
for seed in $seeds; do
  for method in $methods; do
    for task in mrpc cola stsb; do
      one_run $task "$seed" "$method" --task=$task --data_dir="$data"
    done
    one_run sms_spam "$seed" "$method" --train_file="$data/sms_spam/SMSSpamCollection" \
      --noheader --delimiter='\t' --noquoting --label_column=0 --text_columns=1 --dev_fraction=0.2
    one_run cf_airline "$seed" "$method" --train_file="$data/cf_airline/Tweets.csv" \
      --text_columns=text --label_column=airline_sentiment --max_train_examples=5000
    one_run sst2 "$seed" "$method" --task=sst2 --data_dir="$data" --max_train_examples=10000
  done
done
