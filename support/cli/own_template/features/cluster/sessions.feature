@normal
Feature: Bursts of sessions
  After a deployment every instance of the application opens its sessions at once. Nobody should have to wait for it.

  @id.OW-01 @own.example
  Scenario: A burst of 20 sessions is served in less than two seconds
    When 20 sessions are opened in a burst
    Then the burst was served within 2000 milliseconds
