"""Episodes and the mails they cause: frozen data and pure functions."""
