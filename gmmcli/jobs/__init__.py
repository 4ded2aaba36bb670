"""One file per verb: a request in, a report out. Joins the layers, knows no click."""
