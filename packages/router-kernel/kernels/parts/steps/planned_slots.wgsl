// The ids of the slots, for all invocations, and the dispatch plan of them.
if (is_token && lane == 0u) {
#repeat k
  planned_ids[token * TOP_K + $k] = final_id_$k;
#end k
}
workgroupBarrier();
plan_few(local);
