"""All that a checkpoint needs in order to run; flat, because the Hub receives these files side by side."""
