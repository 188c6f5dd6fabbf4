"""What a person sees: charts, pictures and the report."""
