"""The rules by which evidence leads to causes: functions of evidence that guess nothing."""
