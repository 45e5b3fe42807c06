"""Evidence, the journal of verdicts, the Allure report."""
