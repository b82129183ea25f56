@echo off
rem Set Limner up and start it. All the work is in packaging\bootstrap.py.
rem   start.bat         open the window
rem   start.bat demo    train the demo LoRA in the terminal
rem   start.bat test    format, lint, types, tests
rem   start.bat ...     anything else goes to the command line program
rem LIMNER_PYTHON names the Python (3.11 to 3.13) to set up with, LIMNER_TORCH_INDEX another wheel
rem index for torch ("plain" for none) than the one chosen from the graphics card.
setlocal
set "PYTHONUTF8=1"
set "check=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"

if not exist "%~dp0.venv\limner-setup.json" goto search
if not exist "%~dp0.venv\Scripts\python.exe" goto search
"%~dp0.venv\Scripts\python.exe" "%~dp0packaging\bootstrap.py" %*
exit /b %errorlevel%

:search
if not defined LIMNER_PYTHON goto launcher
"%LIMNER_PYTHON%" "%~dp0packaging\bootstrap.py" %*
exit /b %errorlevel%

:launcher
for %%v in (3.13 3.12 3.11) do (
    py -%%v -c "%check%" >nul 2>nul && set "version=%%v" && goto found
)
python -c "%check%" >nul 2>nul && goto plain
echo Limner needs Python 3.11, 3.12 or 3.13; please install one of them from python.org and start again. 1>&2
exit /b 2

:found
py -%version% "%~dp0packaging\bootstrap.py" %*
exit /b %errorlevel%

:plain
python "%~dp0packaging\bootstrap.py" %*
exit /b %errorlevel%
