"""What a class knows: pages for the teacher and for each student, and the school's gradebook."""
