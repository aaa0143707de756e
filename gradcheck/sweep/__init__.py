"""Loss evaluations in great number: in one process or several, whole or by groups, to a limit."""
