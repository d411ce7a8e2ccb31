-- Counts of an application's attempts by period and state.
SELECT t.at_ms / :step_ms * :step_ms, {tallies}
