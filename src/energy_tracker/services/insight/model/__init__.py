"""From measured hours to facts, from facts to findings, from findings to advice that can be checked."""
