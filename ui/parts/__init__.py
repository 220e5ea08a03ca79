"""Components that more than one tab draws: token views, reports, text boxes; threads for long work.

In: inspections, rows and blocks of text. Out: JSON, and the widgets whose JavaScript draws it.
May import: `training`, `inspector`.
"""
