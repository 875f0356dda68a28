"""Views: functions that return something Jupyter can show, each with the numbers that it draws on `.data`."""
