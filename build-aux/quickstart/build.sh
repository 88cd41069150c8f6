build_fsmoe() { :; }
check_fsmoe() { :; }
train_fsmoe() { :; }
